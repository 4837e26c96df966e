"""Models whose bodies are OpenAI's: gpt-oss, DeepSeek, Qwen and others.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-openai.html
"""

from wye.dialects.bedrock_invoke.openai_shape import Shape, openai_family

DIALECT = openai_family(Shape(name="bedrock_openai"))
