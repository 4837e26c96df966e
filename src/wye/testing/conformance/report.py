"""Results as JSON and as JUnit's XML."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

from wye.kernel.json import JsonObject
from wye.testing.conformance.check import Result


def counts(results: Sequence[Result]) -> tuple[int, int, int]:
    """Passed, failed, skipped."""
    verdicts = [result.verdict for result in results]
    return verdicts.count("passed"), verdicts.count("failed"), verdicts.count("skipped")


def as_json(url: str, model: str, results: Sequence[Result]) -> JsonObject:
    passed, failed, skipped = counts(results)
    listed = [
        {
            "area": result.area,
            "topic": result.topic,
            "name": result.name,
            "verdict": result.verdict,
            "detail": result.detail,
            "took_s": round(result.took_s, 3),
        }
        for result in results
    ]
    score = round(100 * passed / (passed + failed)) if passed + failed else None
    figures = {"passed": passed, "failed": failed, "skipped": skipped, "score": score}
    return {"base_url": url, "model": model, **figures, "results": listed}


def as_junit(results: Sequence[Result]) -> str:
    """https://github.com/testmoapp/junitxml"""
    _, failed, skipped = counts(results)
    lines = ['<?xml version="1.0" encoding="UTF-8"?>']
    figures = f'tests="{len(results)}" failures="{failed}" skipped="{skipped}"'
    lines.append(f'<testsuites><testsuite name="wye conformance" {figures}>')
    for result in results:
        place = f"{result.area}.{result.topic}"
        case = f'<testcase classname={quoteattr(place)} name={quoteattr(result.name)} time="{result.took_s:.3f}"'
        detail = quoteattr(_printable(result.detail))
        if result.verdict == "failed":
            lines.append(f"{case}><failure message={detail}>{escape(_printable(result.detail))}</failure></testcase>")
        elif result.verdict == "skipped":
            lines.append(f"{case}><skipped message={detail}/></testcase>")
        else:
            lines.append(f"{case}/>")
    lines.append("</testsuite></testsuites>\n")
    return "\n".join(lines)


def _printable(text: str) -> str:
    """XML has no words for control characters, not even escaped ones."""
    return "".join(character if character.isprintable() else "?" for character in text)
