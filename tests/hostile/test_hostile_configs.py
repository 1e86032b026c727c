"""config.yaml as a weapon: bombs, tags, numbers that are none, names that are taken."""

from __future__ import annotations

import pytest
from hostile_support import Row, Watched

pytestmark = pytest.mark.thorough


def config(text: str | bytes, words: str, name: str = "config.yaml") -> Row:
    """Return the row of a config file."""
    return Row(words, files={name: text}, step="config")


def pv(text: str, words: str) -> Row:
    """Return the row of one PV's definition."""
    return config(f"pvs: {{inputs: {{A: {text}}}}}\n", words)


def named(name: str, words: str = "use letters") -> Row:
    """Return the row of one PV's name."""
    return config(f"pvs: {{inputs: {{{name}: {{type: int}}}}}}\n", words)


LAUGHS = "x-0: &a0 [lol,lol,lol,lol,lol,lol,lol,lol,lol]\n" + "".join(
    f"x-{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 20)
)
MERGES = "x-0: &a0 {k: 1}\n" + "".join(
    f"x-{n}: &a{n} {{<<: [{','.join([f'*a{n - 1}'] * 9)}], k{n}: *a{n - 1}}}\n" for n in range(1, 12)
)
INVALID = "no valid YAML"

CONFIGS = {
    "billion laughs": config(LAUGHS, "expands to more than"),
    "laughs by merging": config(MERGES, "expands to more than"),
    "alias of itself": config("x-a: &a [*a]\n", ""),
    "huge": config("# " + "x" * 300_000, "larger than 256 KiB"),
    "many values": config("x-a: [" + "1," * 60_000 + "1]\n", "more than 20000 values"),
    "deep lists": config("x-a: " + "[" * 5000 + "]" * 5000, "levels deep"),
    "deep mappings": config("x-a: " + "{a: " * 5000 + "1" + "}" * 5000, "levels deep"),
    "deep blocks": config("\n".join(f"{' ' * n}a:" for n in range(600)), "levels deep"),
    "Python object": config("x-a: !!python/object/apply:os.system ['touch /tmp/owned']\n", INVALID),
    "Python name": config("x-a: !!python/name:os.system\n", INVALID),
    "own tag": config("x-a: !include /etc/passwd\n", INVALID),
    "binary": config("x-a: !!binary aGVsbG8=\n", INVALID),
    "key twice": config("type: task\ntype: job\n", "stands twice"),
    "two documents": config("type: task\n---\ntype: job\n", INVALID),
    "list": config("- a\n", "must hold a mapping"),
    "only a word": config("task\n", "must hold a mapping"),
    "no UTF-8": config(b"type: \xff\n", "not UTF-8"),
    "UTF-16": config("type: task\n".encode("utf-16"), "not UTF-8"),
    "zero byte": config("type: task\0\n", "#x0000"),
    "escape sequence": config("x-a: \x1b[2J\n", "#x001b"),
    "surrogate key": config('"\\ud800": 1\n', "unicode"),
    "bidirectional key": config('"\u202egnp": 1\n', "unknown key"),
    "key is a list": config("? [a]\n: 1\n", INVALID),
    "key is a number": config("1: 2\n", "must be text"),
    "key is null": config("~: 2\n", ""),
    "both config files": Row("keep one", files={"config.yaml": "", "config.json": "{}"}, step="config"),
    "deep JSON": config('{"x-a": ' + "[" * 100_000 + "]" * 100_000 + "}", "levels deep", "config.json"),
    "interval is no number": config("parameters: {interval: .nan}\n", "interval"),
    "interval is infinite": config("parameters: {interval: .inf}\n", "interval"),
    "interval below zero": config("parameters: {interval: -1}\n", "interval"),
    "interval is nothing": config("parameters: {interval: 0}\n", "interval"),
    "interval is minus nothing": config("parameters: {interval: -0.0}\n", "interval"),
    "interval is true": config("parameters: {interval: true}\n", "interval"),
    "watchdog is no number": config("watchdog: .nan\n", "watchdog"),
    "watchdog is infinite": config("watchdog: .inf\n", "watchdog"),
    "parameter is no number": config("parameters: {a: .nan}\n", "nan"),
    "parameter is infinite": config("parameters: {a: -.inf}\n", "inf"),
    "parameter is a date": config("parameters: {a: 2026-01-01}\n", "in quotes"),
    "number of 5000 digits": config("parameters: {a: " + "9" * 5000 + "}\n", "too large"),
    "number of base 60": config("x-a: " + "1:" * 3000 + "1\n", "too large"),
    "float beyond": pv("{type: float, value: 1e999}", "value"),
    "limit is no number": pv("{type: float, low: .nan}", "low"),
    "limit is infinite": pv("{type: float, high: .inf}", "high"),
    "alarm is no number": pv("{type: float, alarms: {hihi: .nan}}", "hihi"),
    "drive limit is infinite": pv("{type: float, drive_high: .inf}", "drive_high"),
    "int beyond 32 bits": pv("{type: int, value: 99999999999}", "value"),
    "limits crossed": pv("{type: float, drive_low: 5, drive_high: 1}", "drive"),
    "precision of a million": pv("{type: float, prec: 1000000}", "prec"),
    "states without end": pv(f"{{type: enum, states: [{','.join(f's{n}' for n in range(500))}]}}", "16"),
    "description without end": pv(f"{{type: int, desc: {'x' * 5000}}}", "40"),
    "description with a line break": pv('{type: int, desc: "a\\nb"}', "desc"),
    "unit with a zero byte": pv('{type: float, unit: "\\0"}', "unit"),
    "type is a list": pv("{type: [float]}", "type"),
    "PV of a word": pv("float", "mapping"),
    "PV of nothing": pv("", "mapping"),
    "PV name with a dot": named("A.VAL"),
    "PV name with a colon": named("'A:B'"),
    "PV name with a quote": named("'A\"B'"),
    "PV name with a macro": named("'$(A)'"),
    "PV name with a line break": named('"A\\nB"'),
    "PV name with a zero byte": named('"A\\0B"'),
    "PV name with a blank": named("'A B'"),
    "PV name is empty": named("''"),
    "PV name of another script": named("\u0422emp"),
    "PV name without end": named("A" * 500, "60 at most"),
    "PV name is built in": named("STATUS", "built-in"),
    "PV name is built in: VERSION": named("VERSION", "built-in"),
    "PV name is on": named("on", "in quotes"),
    "prefix with an empty segment": config("prefix: 'A::B'\n", "prefix"),
    "prefix upwards": config("prefix: ../..\n", "prefix"),
    "prefix without end": config(f"prefix: {'A' * 5000}\n", "60 at most"),
    "class is an expression": Row("class", files={"config.yaml": "class: __import__('os').system('id')\n"}),
    "class is a list": config("class: [Minimal]\n", "class"),
    "cron of a million": config("type: job\nschedule: '1000000 * * * *'\n", "schedule"),
    "cron that never comes": config("type: job\nschedule: '0 0 31 2 *'\n", "day of month"),
    "cron without end": config(f"type: job\nschedule: '{'1,' * 20_000}1 * * * *'\n", "schedule"),
    "time zone upwards": config(
        "type: job\nschedule: {cron: '@daily', timezone: ../../../etc/passwd}\n", "no time zone"
    ),
    "time zone absolute": config("type: job\nschedule: {cron: '@daily', timezone: /etc/passwd}\n", "no time zone"),
    "concurrency of a million": config("type: job\nconcurrency: 1000000\n", "concurrency"),
    "resources that are none": config("resources: {gpu: .nan}\n", "gpu"),
    "resources below zero": config("resources: {gpu: -1}\n", "gpu"),
    "resources named so": config("resources: {'../x': 1}\n", "resources"),
    "pattern that never ends": config(
        "parameters_schema: {a: {type: string, pattern: '(a+)+$', default: 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!'}}\n", "a"
    ),
    "pattern that is none": config("parameters_schema: {a: {type: string, pattern: '('}}\n", "pattern"),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_a_config_is_refused(watched: Watched, case: str):
    """Whatever stands in config.yaml, the answer names what is wrong in it, in good time."""
    row = CONFIGS[case]
    watched.check(watched.add(row), row)
