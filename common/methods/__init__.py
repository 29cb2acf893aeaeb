"""All methods by name, and how to build one from the options of a plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, fields
from typing import Any, Final, cast

from common.errors import InputError, way_out
from common.generator.assets import Assets
from common.method import Method, Usual
from common.methods.dp_cgan import DPCGAN
from common.methods.dp_fedavg_gan import DPFedAvgGAN
from common.methods.dp_gan import DPGAN
from common.methods.dp_mepf import DPMEPF
from common.methods.dp_merf import DPMERF
from common.methods.dp_sgd import DPSGD
from common.methods.gs_wgan import GSWGAN
from common.methods.moments import Moments
from common.methods.pearl import PEARL
from common.methods.private_evolution import PrivateEvolution
from common.methods.psg import PSG

_ALL: Final[tuple[type[Method], ...]] = (
    DPSGD, Moments, DPMERF, DPMEPF, PEARL, PrivateEvolution, PSG, GSWGAN, DPGAN, DPCGAN, DPFedAvgGAN,
)  # fmt: skip
NAMES: Final[Mapping[str, type[Method]]] = {method.name: method for method in _ALL}

DEFAULT: Final = DPSGD.name
AUTO: Final = "auto"
"""Asks for the method that public facts recommend (`server.recommendation`)."""


def build(name: str, options: Mapping[str, Any], assets: Assets) -> Method:
    """The method `name` with `options` over its defaults; InputError names what is wrong and the range."""
    made: Method = cast(Any, _known(name))(assets=assets, **checked_options(name, options))
    return made


def checked_options(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """`options` as the method `name` takes them; InputError names what is wrong and the range."""
    known = _options(_known(name))
    for option in options:
        if option not in known:
            raise InputError(f"unknown option {option!r} of method {name!r}: {way_out(option, known)}")
    return {item: _checked(name, known[item], value) for item, value in options.items()}


def usual_of(name: str) -> Usual:
    """What a plan of the method `name` takes where nobody says otherwise; InputError where there is none."""
    return _known(name).usual


def options_of(method: Method) -> dict[str, int | float | str]:
    """All options of `method`, as JSON; `build` with them gives the same method."""
    return {name: getattr(method, name) for name in _options(type(method))}


def design_of(method: Method) -> dict[str, int | float | str]:
    """The options of `method` that its parameters belong to: with others they mean something else."""
    return {name: value for name, value in options_of(method).items() if name not in method.training}


def option_of(name: str, options: Mapping[str, Any], option: str) -> Any:
    """What `option` of method `name` is under `options`, unchecked; None where there is no such option."""
    known = _options(NAMES[name]) if name in NAMES else {}
    return options.get(option, known[option].default) if option in known else None


def _known(name: str) -> type[Method]:
    if name not in NAMES:
        raise InputError(f"unknown method {name!r}: {way_out(name, sorted(NAMES))}")
    return NAMES[name]


def _options(method: type[Any]) -> dict[str, Field[Any]]:
    return {item.name: item for item in fields(method) if item.metadata}


def _checked(method: str, option: Field[Any], value: Any) -> int | float | str:
    place = f"option {option.name!r} of method {method!r}"
    if (choices := option.metadata.get("choices")) is not None:
        if value not in choices or not isinstance(value, str):
            raise InputError(f"{place} is {value!r}: {way_out(str(value), choices)}")
        return value
    low, high = option.metadata["low"], option.metadata["high"]
    whole = isinstance(option.default, int)
    kind = "a whole number" if whole else "a number"
    number = isinstance(value, int) if whole else isinstance(value, int | float)
    if isinstance(value, bool) or not number or not low <= value <= high:
        raise InputError(f"{place} must be {kind} from {low} to {high}, got {value!r}")
    return int(value) if whole else float(value)
