from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wye.dialects.bedrock_invoke.prompts import COMMAND, LLAMA_2, LLAMA_3, LLAMA_4, MISTRAL, TITAN, Template, turns_in
from wye.dialects.bedrock_invoke.turns import Speaker, Turn

TEMPLATES = {
    "titan": TITAN,
    "command": COMMAND,
    "llama 3": LLAMA_3,
    "llama 4": LLAMA_4,
    "llama 2": LLAMA_2,
    "mistral": MISTRAL,
}
ALL = pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)


def talk(*texts: str, system: str | None = None) -> list[Turn]:
    speakers: list[Speaker] = ["user", "assistant"]
    said = [Turn(speakers[i % 2], text) for i, text in enumerate(texts)]
    return said if system is None else [Turn("system", system), *said]


HEADERS = "<|begin_of_text|><|start_header_id|>{}<|end_header_id|>\n\n{}<|eot_id|>"
NEXT = "<|start_header_id|>{}<|end_header_id|>\n\n{}<|eot_id|>"
OPEN = "<|start_header_id|>assistant<|end_header_id|>\n\n"


@pytest.mark.parametrize(
    ("template", "turns", "prompt"),
    [
        (TITAN, talk("Hi"), "User: Hi\n\nBot:"),
        (TITAN, talk("Hi", "Yo", "So", system="Be."), "Be.\n\nUser: Hi\n\nBot: Yo\n\nUser: So\n\nBot:"),
        (COMMAND, talk("Hi"), "Hi"),
        (COMMAND, talk("Hi", system="Be."), "Be.\n\nUser: Hi\n\nChatbot:"),
        (LLAMA_3, talk("Hi", system="Be."), HEADERS.format("system", "Be.") + NEXT.format("user", "Hi") + OPEN),
        (LLAMA_3, talk("Hi", "Yo"), (HEADERS.format("user", "Hi") + OPEN + "Yo")),
        (LLAMA_4, talk("Hi"), "<|begin_of_text|><|header_start|>user<|header_end|>\n\nHi<|eot|>"
         "<|header_start|>assistant<|header_end|>\n\n"),
        (LLAMA_2, talk("Hi", "Yo", "So", system="Be."),
         "<s>[INST] <<SYS>>\nBe.\n<</SYS>>\n\nHi [/INST] Yo </s><s>[INST] So [/INST]"),
        (LLAMA_2, talk("Hi", "Yo"), "<s>[INST] Hi [/INST] Yo"),
        (MISTRAL, talk("Hi", "Yo", "So"), "<s>[INST] Hi [/INST] Yo</s>[INST] So [/INST]"),
    ],
)  # fmt: skip
def test_a_conversation_is_told_as_its_vendor_documents(template: Template, turns: list[Turn], prompt: str) -> None:
    assert template.encode(turns) == prompt
    if prompt != "Hi":
        assert template.decode(prompt) == turns


@pytest.mark.parametrize(
    ("template", "turns", "prompt"),
    [
        (TITAN, talk("Hi", "Yo"), "User: Hi\n\nBot: Yo"),
        (TITAN, [Turn("assistant", "Yo"), Turn("user", "So")], "User: \n\nBot: Yo\n\nUser: So\n\nBot:"),
        (TITAN, [Turn("user", "a"), Turn("user", "b"), Turn("system", "Be.")], "Be.\n\nUser: a\nb\n\nBot:"),
        (TITAN, [Turn("system", "Be."), Turn("system", "Do.")], "Be.\nDo.\n\nUser: \n\nBot:"),
        (MISTRAL, talk("Hi", system="Be."), "<s>[INST] Be.\n\nHi [/INST]"),
        (LLAMA_2, [Turn("system", "Be.")], "<s>[INST] <<SYS>>\nBe.\n<</SYS>>\n\n [/INST]"),
        (LLAMA_3, [], "<|begin_of_text|>" + OPEN),
    ],
)
def test_what_a_template_has_no_place_for_is_told_as_well_as_it_can(
    template: Template, turns: list[Turn], prompt: str
) -> None:
    assert template.encode(turns) == prompt


@pytest.mark.parametrize(
    ("prompt", "turns"),
    [
        ("User: Hi\nBot:", talk("Hi")),
        ("[INST]Hi[/INST]", talk("Hi")),
        ("<|start_header_id|>user<|end_header_id|>\nHi\n<|eot_id|>\n" + OPEN, talk("Hi\n")),
        (f"{HEADERS.format('user', 'Hi')}{OPEN}In", talk("Hi", "In")),
        ("<s>[INST] Hi [/INST] In", talk("Hi", "In")),
    ],
)
def test_a_template_is_known_by_its_marks(prompt: str, turns: list[Turn]) -> None:
    assert turns_in(prompt, (TITAN, LLAMA_3, MISTRAL)) == turns


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "Write a haiku.",
        "User: Hi",
        "User: Hi\n\nBot: Yo",  # what a text about a conversation looks like
        "Bot: Yo\n\nUser: Hi\n\nBot:",
        "User: a\nUser: b\nBot:",
        "Bot:",
        "[INST] Hi",
        "[INST] Hi [/INST] Yo</s>",
        "[INST] Hi [/INST] Yo [INST] So [/INST]",
        "Say: [INST] Hi [/INST]",
        "before<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>" + OPEN,
        "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>after" + OPEN,
        "<|start_header_id|>user<|end_header_id|>\n\nHi" + OPEN,
        HEADERS.format("user", "Hi"),
        HEADERS.format("user", "Hi").removesuffix("<|eot_id|>"),
        HEADERS.format("ipython", "Hi") + OPEN,
    ],
)
def test_any_other_text_is_the_user_s_own(prompt: str) -> None:
    assert turns_in(prompt, tuple(TEMPLATES.values())) == [Turn("user", prompt)]


words = st.text(st.characters(codec="utf-8"), max_size=8)


@ALL
@given(data=st.data())
@settings(max_examples=80, deadline=None, derandomize=True)
def test_what_was_told_is_understood(template: Template, data: st.DataObject) -> None:
    texts = data.draw(st.lists(words, min_size=1, max_size=5).filter(lambda texts: len(texts) % 2 == 1))
    system = data.draw(st.none() | words.filter(bool)) if template.system != "none" else None
    turns = talk(*texts, system=system)
    if template is COMMAND and len(turns) == 1:
        return
    if not any(template.marks.search(turn.text) for turn in turns):
        assert template.decode(template.encode(turns)) == turns


@ALL
@pytest.mark.parametrize(
    "unit",
    ["[INST]", "[INST] [/INST]", "[INST]a[/INST]b</s>", "<s>[INST]a[/INST] b </s>", "\nUser:", "\nUser: a\nBot: b",
     "<|start_header_id|>user<|end_header_id|>", "<|eot_id|>", "\n", " ", "<|header_start|>user<|header_end|>a<|eot|>"],
)  # fmt: skip
def test_a_hostile_prompt_takes_no_longer_than_its_length(template: Template, unit: str) -> None:
    prompt = unit * (400_000 // len(unit))
    began = time.process_time()
    template.decode(prompt)
    assert time.process_time() - began < 2
