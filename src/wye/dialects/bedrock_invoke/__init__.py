"""Bedrock's InvokeModel: a wire format for each family of models, all in the same frames.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters.html
"""
