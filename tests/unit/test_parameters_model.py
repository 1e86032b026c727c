"""Parameters that a class declares as a pydantic model: what is checked, and what the plugin then has."""

import datetime
import enum
import json
from pathlib import Path

import pytest
from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    SecretStr,
    field_validator,
    model_validator,
)

from iocmng import JobBase, TaskBase
from iocmng.base.identity import identify
from iocmng.base.parameters import ParameterRules
from iocmng.core.manifest_text import parse_manifest
from iocmng.errors import InvalidRequest, PluginRejected


class Colour(enum.Enum):
    RED = "red"


class Roi(BaseModel):
    model_config = ConfigDict(extra="allow")

    width: int = 640
    height: int = 480


class Camera(TaskBase):
    """A task with a model."""

    class Parameters(BaseModel):
        """Its parameters."""

        exposure: float = Field(0.1, ge=0.001, le=60, json_schema_extra={"x-unit": "s"})
        frames: int
        roi: Roi = Roi()
        since: datetime.date | None = None
        folder: Path = Path("data")
        colour: Colour = Colour.RED
        token: SecretStr = SecretStr("")

        @model_validator(mode="after")
        def _not_too_long(self):
            if self.frames * self.exposure > 3600:
                raise ValueError("frames times exposure must not be longer than an hour")
            return self

    def initialize(self): ...

    def execute(self): ...

    def cleanup(self): ...


def plugin(model=None, base=TaskBase, **attributes):
    """Return a class with this model, or these attributes."""
    body = {name: lambda self: None for name in ("initialize", "execute", "cleanup")}
    return type("Mine", (base,), body | ({"Parameters": model} if model else {}) | attributes)


def rules(cls, config=""):
    return ParameterRules(parse_manifest(config).parameters_schema, cls)


def sentences(do):
    """Return what a rejected plugin or run is told."""
    with pytest.raises((PluginRejected, InvalidRequest)) as caught:
        do()
    return [failure.message for failure in caught.value.failures]


def refused(cls, **values):
    return sentences(lambda: rules(cls).check(values))


def test_the_plugin_has_values_and_the_instance():
    """self.parameters is the model's dump, typed_parameters its instance, and GET shows plain JSON."""
    checked = rules(Camera).check({"frames": 3, "exposure": 1, "since": "2026-01-31", "interval": 2.0})
    assert isinstance(checked.typed, Camera.Parameters)
    assert checked.typed.roi.width == 640
    assert checked.values["since"] == datetime.date(2026, 1, 31)
    assert (checked.values["interval"], checked.values["folder"]) == (2.0, Path("data"))
    assert checked.shown["since"] == "2026-01-31"
    assert checked.shown["roi"] == {"width": 640, "height": 480}
    json.dumps(checked.shown, allow_nan=False)


def test_json_schema_of_the_model():
    """It is pydantic's own, closed where the model does not say otherwise."""
    schema = rules(Camera).json_schema
    assert schema["properties"]["exposure"]["x-unit"] == "s"
    assert schema["required"] == ["frames"]
    assert schema["additionalProperties"] is False


def test_mistakes_are_told_in_the_same_words():
    """All at once: the parameter, its value, the bounds; unknown ones with the nearest name."""
    assert refused(Camera, exposure=100, frames="3", farmes=1) == [
        "parameters.farmes: unknown parameter; did you mean 'frames'?",
        "parameters.exposure: must be less than or equal to 60, not 100",
        "parameters.frames: must be a valid integer, not '3'",
    ]
    assert refused(Camera) == ["parameters.frames is missing; it must be given"]
    assert refused(Camera, frames=100, exposure=60) == [
        "parameters: frames times exposure must not be longer than an hour"
    ]
    assert refused(Camera, frames=1, roi={"width": "wide"}) == [
        "parameters.roi.width: must be a valid integer, not 'wide'"
    ]


def test_a_password_is_not_repeated():
    """Neither an error nor what GET shows has the value of a secret."""
    assert "geheim" not in str(refused(Camera, frames=1, token=["geheim"]))
    assert "geheim" not in str(rules(Camera).check({"frames": 1, "token": "geheim"}).shown)


def test_a_run_lays_its_parameters_over_the_given_ones():
    """Deeply, and the defaults are filled in afterwards, so a secret stays what it is."""
    own = rules(Camera).check({"frames": 1, "token": "geheim", "roi": {"width": 10}})
    run = own.of_run({"roi": {"height": 20}, "exposure": 2})
    assert (run.values["roi"], run.values["exposure"]) == ({"width": 10, "height": 20}, 2.0)
    assert run.typed.token.get_secret_value() == "geheim"
    assert sentences(lambda: own.of_run({"exposure": 0})) == [
        "parameters.exposure: must be greater than or equal to 0.001, not 0"
    ]


def test_a_job_may_get_a_required_one_with_the_run():
    """Until then it has what was given and the plain defaults, and no instance."""
    job = plugin(Camera.Parameters, JobBase)
    identity = identify("p", "X:P", job, parse_manifest(""), {"exposure": 2}, None)
    assert (identity.parameters["exposure"], identity.parameters["colour"]) == (2, "red")
    assert identity.checked.typed is None
    assert identity.checked.of_run({"frames": 2}).typed.frames == 2
    assert sentences(lambda: identity.checked.of_run({})) == ["parameters.frames is missing; it must be given"]
    assert "must be less" in sentences(lambda: identify("p", "X:P", job, parse_manifest(""), {"exposure": 99}, None))[0]


def test_a_task_needs_it_at_once():
    """There is no later moment for a task."""
    with pytest.raises(PluginRejected, match="frames is missing"):
        identify("p", "X:P", Camera, parse_manifest(""), {}, None)


def test_a_model_may_be_open():
    """With extra="allow" what is not declared is passed on, with "ignore" it is left out: the author says so."""
    for extra, present in (("allow", True), ("ignore", False)):

        class Open(BaseModel):
            model_config = ConfigDict(extra=extra)

        checked = rules(plugin(Open)).check({"more": 1})
        assert ("more" in checked.values) is present
        assert rules(plugin(Open)).json_schema.get("additionalProperties") is not False


def test_a_model_may_be_lenient():
    """An author who says strict=False gets pydantic's conversions."""

    class Lenient(BaseModel):
        model_config = ConfigDict(strict=False)
        frames: int

    assert rules(plugin(Lenient)).check({"frames": "3"}).values == {"frames": 3}


def test_aliases_are_the_names_to_give():
    """A field with an alias is given under it, and read under its own name."""

    class Aliased(BaseModel):
        high: float = Field(alias="high-voltage")
        low: float = Field(1, validation_alias=AliasChoices("low-voltage", "lv"))

    checked = rules(plugin(Aliased)).check({"high-voltage": 5, "lv": 2})
    assert checked.values == {"high": 5.0, "low": 2.0}
    assert "unknown parameter" in refused(plugin(Aliased), high=5)[0]


def test_a_model_from_elsewhere():
    """`parameters_model` names a model that is no inner class."""
    cls = plugin(parameters_model=Roi)
    assert rules(cls).check({"width": 3}).typed == Roi(width=3)


def test_two_declarations_are_one_too_many():
    """config.yaml and a model, or two models: the message says to keep one."""
    (told,) = sentences(lambda: rules(Camera, "parameters_schema: {a: {type: int}}\n"))
    assert "declared here and by the class, as Camera.Parameters; keep one of the two" in told
    (told,) = sentences(lambda: rules(plugin(Camera.Parameters, parameters_model=Roi)))
    assert "has two models, Parameters and parameters_model; keep one" in told


def test_what_is_no_model():
    """An inner class of that name is left alone with a warning; a wrong parameters_model is a mistake."""
    plain = rules(plugin(type("Parameters", (), {})))
    assert plain.json_schema is None
    assert "Mine.Parameters is not derived from pydantic.BaseModel" in plain.warnings[0]
    assert plain.check({"anything": 1}).values == {"anything": 1}
    for wrong in (int, "Parameters", RootModel[list[int]]):
        (told,) = sentences(lambda wrong=wrong: rules(plugin(parameters_model=wrong)))
        assert "must be a class derived from pydantic.BaseModel" in told
    assert rules(plugin()).warnings == ()


class TakenName(BaseModel):
    interval: float = 1


class TakenAlias(BaseModel):
    every: float = Field(1, alias="interval")


class Endless(BaseModel):
    limit: float = float("inf")


class NoJson(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    other: TaskBase | None = None


class Huge(BaseModel):
    a: str = Field("", description="x" * 300_000)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (TakenName, "interval: iocmng itself reads this parameter"),
        (TakenAlias, "interval: iocmng itself reads this parameter"),
        (Endless, "default is inf: JSON has no such number"),
        (NoJson, "has no JSON Schema"),
        (Huge, "its JSON Schema is larger than 256 KiB"),
    ],
)
def test_models_of_no_use(model, words):
    """A model that cannot be shown, or takes a name of iocmng's, is a failed check that says why."""
    (told,) = sentences(lambda: rules(plugin(model)))
    assert told.startswith("Mine.Parameters")
    assert words in told


class Raises(BaseModel):
    a: int = 1

    @field_validator("a")
    @classmethod
    def _look_up(cls, value):
        return {1: 2}[value]


class Exits(BaseModel):
    a: int = 1

    @model_validator(mode="after")
    def _leave(self):
        raise SystemExit(3)


class CannotBeShown(BaseModel):
    a: float = 1

    @field_validator("a")
    @classmethod
    def _no_limit(cls, value):
        return float("inf")


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (Raises, "parameters: KeyError: 7"),
        (Exits, "parameters: the code called exit(3)"),
        (CannotBeShown, "parameters.a is inf: JSON has no such number"),
    ],
)
def test_validators_that_break(model, words):
    """Whatever a validator or serializer raises is a failed check with its place, not an error of ours."""
    assert refused(plugin(model), a=7) == [words]
    own = ParameterRules(None, plugin(model, JobBase))
    with pytest.raises(PluginRejected) as caught:
        own.check({"a": 7})
    place = caught.value.failures[0].file
    assert place in ("test_parameters_model.py", None)


class Key(BaseModel):
    """A part with a secret."""

    key: SecretStr = SecretStr("")


class WithSecrets:
    """A plugin's class with secrets of all kinds."""

    class Parameters(BaseModel):
        """What pydantic offers for them."""

        plain: int = 1
        token: SecretStr
        maybe: SecretStr | None = None
        written: str = Field("built-in", json_schema_extra={"writeOnly": True})
        named: SecretStr = Field(SecretStr("x"), alias="byName")
        inner: Key | None = None


def test_what_a_model_says_is_secret():
    """SecretStr and writeOnly, however deep and under each of its names; the plugin gets them."""
    rules = ParameterRules(None, WithSecrets)
    assert rules.secrets >= {"token", "maybe", "written", "byName", "named", "inner"}
    assert "plain" not in rules.secrets
    assert "built-in" not in str(rules.json_schema)
    given = {"token": "tok-12345", "written": "wri-12345", "byName": "nam-12345", "inner": {"key": "key-12345"}}
    checked = rules.check(given)
    assert checked.typed.token.get_secret_value() == "tok-12345"
    assert set(checked.secret_texts()) == {"tok-12345", "wri-12345", "nam-12345", "key-12345"}
    with pytest.raises(PluginRejected, match=r"parameters\.token: .*not shown") as refused:
        rules.check({"token": 7654321})
    assert "7654321" not in str(refused.value)
