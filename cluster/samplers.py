"""How the next configuration is proposed: one Optuna sampler for each name in a study file."""

import warnings
from collections.abc import Callable

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler

from qpmstudy.registry import Registry
from storage.study import Parameter, StudySpec

SamplerFactory = Callable[[StudySpec, int], BaseSampler]


def tpe(spec: StudySpec, seed: int) -> BaseSampler:
    """Return multi-objective TPE; configurations still running count as poor, not as unknown."""
    conditional = any(parameter.when for parameter in spec.parameters)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(
            seed=seed,
            multivariate=True,
            group=conditional,  # one model for each set of values that occur together
            constant_liar=True,
            n_startup_trials=_startup(spec),
        )


def nsga2(spec: StudySpec, seed: int) -> BaseSampler:
    """Return NSGA-II with a population that leaves a short study several generations."""
    return optuna.samplers.NSGAIISampler(seed=seed, population_size=_startup(spec))


def gp(spec: StudySpec, seed: int) -> BaseSampler:
    """Return Gaussian processes with the expected gain in hypervolume.

    What still runs counts. Values that not all configurations have are drawn independently.
    """
    return optuna.samplers.GPSampler(
        seed=seed, n_startup_trials=_startup(spec), warn_independent_sampling=False
    )


def random(spec: StudySpec, seed: int) -> BaseSampler:
    """Return independent draws."""
    return optuna.samplers.RandomSampler(seed=seed)


SAMPLERS: Registry[SamplerFactory] = Registry(
    "sampler",
    {
        "grid": "cluster.samplers:random",  # never asked: a grid is dealt in order
        "random": "cluster.samplers:random",
        "tpe": "cluster.samplers:tpe",
        "nsga2": "cluster.samplers:nsga2",
        "gp": "cluster.samplers:gp",
    },
)


def distribution(parameter: Parameter) -> BaseDistribution:
    """Return what a sampler draws one parameter from."""
    if parameter.values is not None:
        return CategoricalDistribution(parameter.values)
    low, high, step, log = parameter.low, parameter.high, parameter.step, parameter.log
    if parameter.integer:
        return IntDistribution(int(low), int(high), log=log, step=int(step or 1))
    return FloatDistribution(low, high, log=log, step=step)


def suggest(trial: optuna.Trial, parameter: Parameter) -> object:
    """Return the sampler's value for one parameter of a trial."""
    if parameter.values is not None:
        return trial.suggest_categorical(parameter.name, parameter.values)
    low, high, step = parameter.low, parameter.high, parameter.step
    if parameter.integer:
        return trial.suggest_int(
            parameter.name, int(low), int(high), step=int(step or 1), log=parameter.log
        )
    return trial.suggest_float(parameter.name, low, high, step=step, log=parameter.log)


def _startup(spec: StudySpec) -> int:
    """Return how many trials are drawn at random first: a fifth, between 4 and 50."""
    return min(50, max(4, spec.configurations // 5))
