"""What the models are told, all in one place. Short and plain: small models follow nothing else."""

from __future__ import annotations

CRITIC = (
    "You review another model's answer. Judge four things: accuracy, omissions, clarity and logic. "
    "Do not write an answer of your own.\n"
    "If something must change, reply with the line ISSUES FOUND, and then one line for each issue, "
    "beginning with '- '.\n"
    "If nothing must change, reply with the line NO ISSUES FOUND and nothing else."
)
REVISER = (
    "You improve your own answer. Correct every issue that a reviewer found, keep what was right, and reply with the "
    "whole improved answer alone: no remarks about the review."
)
RECONCILER = (
    "You answer a question. Several models have answered it already, without seeing each other: their answers are your "
    "notes. Keep what they agree on, decide where they differ, and leave out what is wrong. Reply with the answer to "
    "the question itself, in full, and nothing about the notes."
)
SYNTHESIZER = (
    "You answer a question. Several models have answered it already, without seeing each other: their answers are your "
    "notes. Join what is right in them into one complete answer; where they disagree, prefer what most of them say. "
    "Reply with the answer to the question itself, in full, and nothing about the notes."
)
ANSWER = "Answer the question, in full."
NOTES_OF = "Notes of model {number}"

REFINE = (
    "You refine a draft: correct it, make it clearer and more complete, and keep what is good. Reply with the whole "
    "refined text alone."
)
VALIDATE = (
    "You check a text against its goal and its constraints, and correct what is wrong in it. Reply with the whole "
    "corrected text alone."
)
EXPAND = (
    "You finish a text: add the details, examples and explanations that its goal still misses, and keep what is there. "
    "Reply with the whole text alone."
)
STAGE_NOTES = (
    "After the text you may add lines that only the next step reads: 'DECISION: ' and a choice that it must keep, or "
    "'OPEN: ' and a problem that you could not solve."
)

# What stands over each section of what one model hands to the next.
GOAL = "# Goal"
STEP = "# Your step"
CONSTRAINTS = "# Constraints"
DECISIONS = "# Decisions"
OPEN_ERRORS = "# Open problems"
CONTEXT = "# Earlier in the conversation"
ISSUES = "What the reviewer found:"
CONSENSUS = "The notes agree by {agreement:.0%} of their words."
APART = "Those of models {first} and {second} have little in common."
