"""Values that say who a patient is or what they answered: they show themselves to nobody who does not ask by name.

`repr`, `str`, f-strings, log lines, span attributes, exception texts, JSON and pydantic's dumps show `[redacted]`; `.open()` gives the
value, so every place that reads one can be found by searching for that word. `PhiModel` keeps input out of validation errors.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Generic, NoReturn, Self, TypeVar

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import CoreSchema, core_schema

REDACTED = "[redacted]"
T = TypeVar("T")


class Phi(Generic[T]):
    """A private value; equal to another one of its class with an equal value, and never an element of a set or a key."""

    __slots__ = ("_value",)
    INNER: ClassVar[Any] = str
    _value: T

    def __init__(self, value: T) -> None:
        object.__setattr__(self, "_value", value)

    def open(self) -> T:
        """The value itself."""
        return self._value

    def __repr__(self) -> str:
        return f"{type(self).__name__}({REDACTED})"

    def __str__(self) -> str:
        return REDACTED

    def __format__(self, _spec: str) -> str:
        return REDACTED

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and bool(other._value == self._value)

    __hash__ = None  # type: ignore[assignment]

    def __setattr__(self, _name: str, _value: object) -> NoReturn:
        raise AttributeError("a private value does not change")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _memo: object) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private value is not to be pickled")

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def take(value: Any, inner: core_schema.ValidatorFunctionWrapHandler) -> Any:
            return value if isinstance(value, cls) else cls(inner(value))

        return core_schema.no_info_wrap_validator_function(
            take,
            handler.generate_schema(cls.INNER),
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda _value: REDACTED, return_schema=core_schema.str_schema()
            ),
        )


class PatientName(Phi[str]):
    """What a person is called."""


class PatientPhone(Phi[str]):
    """A number at which a patient, or somebody close to them, is reached."""


class PatientEmail(Phi[str]):
    """A mail address of a patient."""


class PatientAddress(Phi[Mapping[str, Any]]):
    """Where a patient is."""

    INNER: ClassVar[Any] = dict[str, Any]


class CloseContact(Phi[Mapping[str, Any]]):
    """Somebody close to a patient, and how they are reached."""

    INNER: ClassVar[Any] = dict[str, Any]


class Answers(Phi[Any]):
    """What a patient answered, in whatever shape it came."""

    INNER: ClassVar[Any] = Any


class PhiModel(BaseModel):
    """A model of a request that holds private values: its validation errors name places and rules, and quote nothing."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    @model_validator(mode="wrap")
    @classmethod
    def _quote_nothing(cls, told: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(told)
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)
        raise ValidationError.from_exception_data(
            cls.__name__,
            [{"type": one["type"], "loc": one["loc"], "ctx": one.get("ctx", {}), "input": REDACTED} for one in found],
            hide_input=True,
        )
