"""Writer's Palmyra. https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-writer-palmyra.html"""

from wye.dialects.bedrock_invoke.openai_shape import Shape, openai_family

DIALECT = openai_family(
    Shape(
        name="bedrock_writer",
        settings=("max_tokens", "temperature", "top_p", "stop", "seed", "frequency_penalty", "presence_penalty"),
        images=False,
    )
)
