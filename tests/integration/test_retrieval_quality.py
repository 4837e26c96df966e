"""Forty passages, twenty-four questions: the embedded models find what answers them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import ClassVar

import pytest

from tests.contract.store.test_store import kept
from wye.catalog.encoders import ENCODERS
from wye.drivers.sql import hnsw
from wye.drivers.sql.database import Database, database_url
from wye.drivers.sql.index import SqlIndex
from wye.drivers.sql.store import SqlStore
from wye.engines.onnx.engine import OnnxEngine
from wye.engines.weights import LocalWeights
from wye.kernel.secret import Secret
from wye.knowledge.reader import DocumentReader, LocalEmbedder
from wye.knowledge.retrieve import Retriever
from wye.ports.store import Passage

pytestmark = [pytest.mark.requires_model, pytest.mark.xdist_group("onnx")]

BGE, MINILM = ENCODERS
PASSAGES = (
    "Employees receive 28 days of paid leave a year; unused days may be carried over until the end of March.",
    "Sick notes are required from the fourth day of absence and are sent to the personnel office by e-mail.",
    "The office is closed between Christmas and New Year; these days do not count against anybody's vacation.",
    "Expenses for travel are reimbursed within two weeks once receipts have been handed in.",
    "Trips by train are booked in second class; flights need the consent of the head of department.",
    "A laptop is replaced after four years, or sooner if its repair would cost more than half of its price.",
    "Passwords have at least fourteen characters and are changed only when there is a suspicion of abuse.",
    "Lost access cards must be reported to the front desk at once so that they can be blocked.",
    "The canteen serves lunch from half past eleven to two; vegetarian meals are marked with a leaf.",
    "Bicycles can be parked in the basement; the charging of electric ones is free of cost.",
    "Every new colleague has a mentor for the first six months, who is not their superior.",
    "Working from home is possible on up to three days a week after agreement within the team.",
    "Notice is six weeks to the end of a quarter during the first five years of employment.",
    "The pension scheme is open to everybody after the probation period; the firm adds half of each payment.",
    "Parents may reduce their hours until the youngest child is eight years old.",
    "The pump must not run dry: check the level of the coolant before it is switched on.",
    "Error E17 means that the filter is clogged; clean it with lukewarm water and let it dry for a day.",
    "Error E23 shows that the door was opened while the drum was turning; close it and press start.",
    "The warranty lasts for thirty-six months and covers neither seals nor batteries.",
    "Maintenance is due every 500 hours of operation or once a year, whichever comes first.",
    "Use only oil of the grade ISO VG 46; others destroy the seals of the hydraulic system.",
    "At temperatures below minus ten degrees the motor has to be warmed up for a quarter of an hour.",
    "Spare parts can be ordered for ten years after the production of a model has ended.",
    "The noise level at the operator's place is 74 decibels; hearing protection is recommended.",
    "The emergency stop is the red button on the left; it is released by turning it clockwise.",
    "The river Aare rises in the glaciers of the Bernese Alps and joins the Rhine near Koblenz.",
    "Honeybees tell each other where flowers are by dancing in figures of eight on the comb.",
    "The printing press with movable type reached Venice in 1469, where Aldus Manutius later made small books.",
    "Sourdough rises thanks to wild yeast and bacteria that live in a mixture of flour and water.",
    "Octopuses have three hearts, two of which stop beating while the animal swims.",
    "The Great Fire of London began in a bakery in Pudding Lane in September 1666.",
    "Glass is made by melting sand with soda and lime at about 1,500 degrees.",
    "The moon moves away from the earth by almost four centimetres every year.",
    "Saffron is so expensive because its threads are picked by hand from crocus flowers at dawn.",
    "Revenue of the third quarter was 41.2 million euros, nine per cent more than a year before.",
    "The costs of energy fell by 1.3 million because the new heat pumps came into use in May.",
    "The board proposes a dividend of 1.80 euros per share, to be paid out on the third of June.",
    "Two lawsuits about patents are pending in Texas; provisions of six million have been made.",
    "The factory in Gdansk will be enlarged by a second line, which creates 120 jobs.",
    "For the coming year the management expects growth between four and six per cent.",
)
QUESTIONS = {
    "How much vacation do I get?": 0,
    "When do I have to hand in a doctor's certificate?": 1,
    "Do I have to take holidays over Christmas?": 2,
    "How long until I get my money back for a business trip?": 3,
    "Who has to approve it when I want to fly?": 4,
    "When am I entitled to a new computer?": 5,
    "How long must a password be?": 6,
    "I cannot find my badge, what should I do?": 7,
    "Where can I charge my e-bike?": 9,
    "May I do my job from home?": 11,
    "How much advance warning is needed to quit?": 12,
    "Does the employer contribute to my retirement savings?": 13,
    "What does E17 mean?": 16,
    "The machine stopped because somebody opened the door": 17,
    "Are batteries included in the guarantee?": 18,
    "How often does the machine need to be serviced?": 19,
    "Which lubricant is allowed?": 20,
    "What has to be done in winter before starting?": 21,
    "Is it loud enough to need earplugs?": 23,
    "How do bees communicate?": 26,
    "Where did the London fire of 1666 start?": 30,
    "Why did the firm spend less on electricity and heating?": 35,
    "What will shareholders be paid?": 36,
    "What is the forecast for next year?": 39,
}


class Remembering(OnnxEngine):
    """What it has ranked once it need not rank again: a score is of one passage alone, wherever that was found."""

    scores: ClassVar[dict[tuple[str, str, str], float]] = {}

    async def rank(self, model: str, question: str, passages: list[str]) -> list[float]:
        new = [passage for passage in passages if (model, question, passage) not in self.scores]
        if new:
            ranked = await super().rank(model, question, new)
            self.scores.update({(model, question, said): score for said, score in zip(new, ranked, strict=True)})
        return [self.scores[model, question, passage] for passage in passages]


@pytest.fixture(params=["exactly", "approximately"])
async def found(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[SqlIndex, OnnxEngine]]:
    """Vectors that numpy compares one by one, and those of an index of Postgres that may miss some."""
    url = f"sqlite:///{tmp_path}/wye.db"
    if request.param == "approximately":
        url = request.getfixturevalue("postgres_url")
        monkeypatch.setattr(hnsw, "LARGE", 0)
    database = Database(database_url(Secret(url)))
    store, index = SqlStore(database), SqlIndex(database)
    encoders = Remembering(ENCODERS, LocalWeights(tmp_path / "models"))
    passages = [Passage(number=i, text=said) for i, said in enumerate(PASSAGES)]

    async def nobody(share: float) -> None:
        assert share

    await kept(store, "a")
    await store.documents.keep("a", passages)
    await DocumentReader(index, LocalEmbedder(encoders, BGE)).index("a", passages, nobody)
    yield index, encoders
    await encoders.close()
    await database.close()


async def test_what_answers_a_question_is_among_the_first_three(found: tuple[SqlIndex, OnnxEngine]) -> None:
    index, encoders = found
    assert (len(PASSAGES), len(QUESTIONS)) == (40, 24)
    embedder = LocalEmbedder(encoders, BGE)
    for retriever, wanted in ((Retriever(index, embedder), 22), (Retriever(index, embedder, encoders, MINILM), 23)):
        missed = {
            question: numbers
            for question, number in QUESTIONS.items()
            if number not in (numbers := [f.passage.number for f, _ in await retriever.find(["a"], question, 3)])
        }
        assert len(QUESTIONS) - len(missed) >= wanted, missed
