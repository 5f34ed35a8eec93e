"""Prompt text with facts in it -> the pieces of sound that say it, so that nothing has to be synthesised during a call.

A prompt is Jinja2 text that may hold `{{ fact | family }}` and nothing else; a family turns a value into words that are ready
beforehand: `digits` (one by one), `number` (0 to 59), `clock`, `day` (today, tomorrow, a date; against the fact `now`) and `word`
(the document's own prompt `word_<value>`). `names` says names that no document knows (one a line: "Moda and Kars"); whoever hands such
a fact in has had them spoken before, and a prompt whose names are empty is left out. We walk Jinja's syntax tree ourselves: no
expression is ever evaluated.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

import jinja2
from jinja2 import nodes

from cti.names import fold
from ivr import numerals
from ivr.document import Document
from ivr.graph import spoken
from ivr.nodes import Facts, Text, Value

TEXT_MAX = 1000  # characters of one prompt, before and after its facts are in it
DIGITS_MAX = 32  # of one value
NAMES = "names"
BETWEEN_NAMES = "\n"  # in a fact that is spoken as `names`

_JINJA = jinja2.Environment(autoescape=False)


class PromptError(ValueError):
    """A prompt cannot be spoken; the text says which, what was expected and what came."""


@dataclass(frozen=True)
class Piece:
    """One file of sound. `key` names it for people and for an admin's own recording; `shown` is how it looks when the prompt is
    read instead of heard, and `glued` says that no space goes before it."""

    key: str
    text: str
    language: str
    shown: str = field(default="", compare=False)
    glued: bool = field(default=False, compare=False)


Words = Mapping[str, Text]  # the document's word_<value> prompts in one language, without their prefix


def pieces(prompt: Text, facts: Facts, *, key: str, words: Words) -> tuple[Piece, ...]:
    """`prompt` with `facts`; nothing at all when it has names to say and there are none. Raises PromptError for a missing fact, and for
    a value that its family cannot say."""
    said: list[Piece] = []
    parts = parsed(prompt.text, key)
    if any(isinstance(part, Slot) and part.family == NAMES and facts.get(part.fact) == "" for part in parts):
        return ()
    for part in parts:
        if isinstance(part, Slot):
            said += _FAMILIES[part.family](_value(part, facts, key), prompt.language, facts, words)
        elif part.key:
            said.append(Piece(part.key, part.heard, prompt.language, part.text))
        elif said:
            said[-1] = replace(said[-1], shown=said[-1].shown + part.text)
    if sum(len(each.text) for each in said) > TEXT_MAX:
        raise PromptError(f"prompt {key!r}: expected at most {TEXT_MAX} characters with its facts")
    return tuple(said)


def text(said: Iterable[Piece]) -> str:
    """What was said, for reading: digits and times stand together again."""
    line = "".join(each.shown if each.glued else f" {each.shown}" for each in said)
    return re.sub(r"\s+([.,;:!?])", r"\1", line).strip()


def digits(keys: str, language: str) -> tuple[Piece, ...]:
    """Keys one by one, as a caller pressed them; `*` and `#` are passed over. Turkish where `language` has no digits."""
    spoken_in = language if language in numerals.WORDS else "tr"
    return tuple(_piece(f"digit-{key}", spoken_in, key, glued=True) for key in keys if key in "0123456789")


def names(value: str, language: str) -> tuple[Piece, ...]:
    """The names of such a fact as they are spoken, with "and" before the last one. Raises PromptError."""
    *others, last = (_name(each, language) for each in value.split(BETWEEN_NAMES))
    if not others:
        return (last,)
    listed = [replace(each, shown=f"{each.shown},") for each in others[:-1]] + others[-1:]
    joint = _piece("and", language, "")
    return (*listed, replace(joint, shown=joint.text), last)


class Book:
    """All prompts of a document, taken apart once; a prompt without facts costs one look-up on the call."""

    def __init__(self, document: Document) -> None:
        self._prompts = document.prompts
        self._words = {language: words_of(document, language) for language in document.languages}
        self._fixed: dict[tuple[str, str], tuple[Piece, ...]] = {}

    def pieces(self, key: str, facts: Facts, language: str) -> tuple[Piece, ...]:
        """The prompt `key` in `language`. Raises PromptError."""
        fixed = self._fixed.get((key, language))
        if fixed is not None:
            return fixed
        prompt = self._prompts.get(key, {}).get(language)
        if prompt is None:
            raise PromptError(f"expected a prompt {key!r} in {language!r}, the document has none")
        said = pieces(prompt, facts, key=key, words=self._words.get(language, {}))
        if not slots(prompt.text, key):
            self._fixed[key, language] = said
        return said


def all_pieces(document: Document) -> tuple[Piece, ...]:
    """Everything that this document can ever need, each once; prompts that are only read by agents are not among it."""
    found: dict[Piece, None] = {}
    heard = {key for node in document.nodes.values() for key in spoken(node)}
    for key in sorted(heard & set(document.prompts)):
        for language, prompt in document.prompts[key].items():
            found |= dict.fromkeys(_possible(prompt, key, words_of(document, language)))
    return tuple(found)


def slots(prompt: str, key: str = "") -> tuple[Slot, ...]:
    """The facts that a prompt needs. Raises PromptError when the prompt is not a well-formed one."""
    return tuple(part for part in parsed(prompt, key) if isinstance(part, Slot))


def words_of(document: Document, language: str) -> dict[str, Text]:
    names = (name for name in document.prompts if name.startswith("word_"))
    return {
        name.removeprefix("word_"): document.prompts[name][language]
        for name in names
        if language in document.prompts[name]
    }


# --- the text taken apart -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Slot:
    """`{{ fact | family }}`"""

    fact: str
    family: str


@dataclass(frozen=True)
class Fragment:
    """Words that never change. A prompt that is one fragment has the prompt's own key; else they are counted from 1. Without
    a letter or a digit (". ") nobody hears it, and the key is empty."""

    key: str
    text: str

    @property
    def heard(self) -> str:
        return self.text.lstrip(" .,;:")


@lru_cache(maxsize=2000)
def parsed(prompt: str, key: str) -> tuple[Slot | Fragment, ...]:
    """A prompt as what changes and what does not. Raises PromptError."""
    if len(prompt) > TEXT_MAX:
        raise PromptError(f"prompt {key!r}: expected at most {TEXT_MAX} characters, got {len(prompt)}")
    try:
        tree = _JINJA.parse(prompt)
    except jinja2.TemplateSyntaxError as error:
        raise PromptError(f"prompt {key!r}: expected text with {{{{ fact | family }}}}: {error.message}") from error
    parts = [_part(each, key) for output in tree.body for each in _outputs(output, key)]
    audible = [part for part in parts if isinstance(part, str) and _audible(part)]
    names = iter([key] if len(audible) == 1 else [f"{key}-{at}" for at in range(1, len(audible) + 1)])
    return tuple(
        part if isinstance(part, Slot) else Fragment(next(names) if _audible(part) else "", part) for part in parts
    )


def _audible(text: str) -> bool:
    return any(map(str.isalnum, text))


def _outputs(output: nodes.Node, key: str) -> list[nodes.Node]:
    if not isinstance(output, nodes.Output):
        raise PromptError(f"prompt {key!r}: expected only text and {{{{ fact | family }}}}, got a {{% ... %}}")
    return list(output.nodes)


def _part(node: nodes.Node, key: str) -> Slot | str:
    match node:
        case nodes.TemplateData(data=data):
            return " ".join(data.split())
        case nodes.Filter(node=nodes.Name(name=fact), name=family, args=[], kwargs=[]) if family in _FAMILIES:
            return Slot(fact, family)
    families = ", ".join(_FAMILIES)
    raise PromptError(f"prompt {key!r}: expected {{{{ fact | family }}}} with a family of {families}")


def _value(slot: Slot, facts: Facts, key: str) -> Value:
    value = facts.get(slot.fact)
    if value is None:
        raise PromptError(f"prompt {key!r}: expected the fact {slot.fact!r}, it is not known in this call")
    return value


# --- the families -------------------------------------------------------------------------------------------------------

Family = Callable[[Value, str, Facts, Words], list[Piece]]


def _digits(value: Value, language: str, facts: Facts, words: Words) -> list[Piece]:
    digits = str(value)
    if not re.fullmatch(rf"[0-9]{{1,{DIGITS_MAX}}}", digits):
        raise PromptError(f"expected 1 to {DIGITS_MAX} digits, got {value!r}")
    return [_piece(f"digit-{each}", language, each, glued=at > 0) for at, each in enumerate(digits)]


def _number(value: Value, language: str, facts: Facts, words: Words) -> list[Piece]:
    if isinstance(value, int) and 0 <= value <= numerals.NUMBER_MAX:
        return [_piece(f"number-{value}", language, str(value))]
    return _digits(value, language, facts, words)


def _clock(value: Value, language: str, facts: Facts, words: Words) -> list[Piece]:
    keys = numerals.clock(_moment(value).time(), language)
    said = [_piece(key, language, key.split("-")[-1], glued=at > 0) for at, key in enumerate(keys)]
    return [Piece(said[0].key, said[0].text, language, f"{_moment(value):%H:%M}")] + [
        Piece(each.key, each.text, language, "", glued=True) for each in said[1:]
    ]


def _day(value: Value, language: str, facts: Facts, words: Words) -> list[Piece]:
    keys = numerals.day(_moment(value).date(), _moment(facts.get("now")).date(), language)
    return [_piece(key, language, numerals.WORDS[language][key]) for key in keys]


def _word(value: Value, language: str, facts: Facts, words: Words) -> list[Piece]:
    word = words.get(str(value))
    if word is None:
        raise PromptError(f"expected a prompt 'word_{value}' in {language!r}, the document has none")
    return [Piece(f"word_{value}", word.text, word.language, word.text)]


def _names(value: Value, language: str, facts: Facts, words: Words) -> list[Piece]:
    return list(names(str(value), language))


_FAMILIES: dict[str, Family] = {
    "digits": _digits, "number": _number, "clock": _clock, "day": _day, "word": _word, NAMES: _names,
}  # fmt: skip


def _moment(value: Value) -> dt.datetime:
    try:
        return dt.datetime.fromisoformat(str(value))
    except ValueError as error:
        raise PromptError(f"expected a local time such as 2026-11-20T17:30, got {value!r}") from error


def _piece(key: str, language: str, shown: str, *, glued: bool = False) -> Piece:
    words = numerals.WORDS.get(language)
    if words is None:
        raise PromptError(f"expected a language of {', '.join(numerals.WORDS)} for {key!r}, got {language!r}")
    return Piece(key, words[key], language, shown, glued)


def _name(name: str, language: str) -> Piece:
    """Its key is a file's name. A dash is for the eye: no voice shall make a minus of it."""
    written = name.translate(numerals.READ_AS.get(language, {}))
    key = re.sub("[^a-z0-9]+", "-", fold(name)).strip("-")
    return Piece(f"name-{key or 'other'}", re.sub(r"[-_/\s]+", " ", written).strip(), language, name)


def _possible(prompt: Text, key: str, words: Words) -> Iterable[Piece]:
    for part in parsed(prompt.text, key):
        if isinstance(part, Fragment):
            yield from [Piece(part.key, part.heard, prompt.language)] if part.key else []
        elif part.family == "word":
            yield from (Piece(f"word_{name}", word.text, word.language) for name, word in words.items())
        else:
            yield from (_piece(each, prompt.language, "") for each in numerals.family(part.family, prompt.language))
