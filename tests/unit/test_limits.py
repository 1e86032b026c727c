"""Limits of a plugin: how they are written, and how they meet those of the site."""

import pytest

from iocmng.core.limits import MIB, Limits, quantity
from iocmng.core.manifest_text import parse_manifest
from iocmng.errors import PluginRejected


def manifest(limits):
    return parse_manifest(f"limits: {limits}\n")


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("512Mi", 512 * MIB),
        ("2Gi", 2048 * MIB),
        ("1.5Gi", 1536 * MIB),
        ("20480Ki", 20 * MIB),
        ("500M", 500_000_000),
        ("20000k", 20_000_000),
        ("2G", 2_000_000_000),
        ("1Ti", 1024 * 1024 * MIB),
        ("33554432", 32 * MIB),
        ("'33554432'", 32 * MIB),
    ],
)
def test_amounts_of_memory(text, amount):
    """As Kubernetes writes them, or plain bytes."""
    assert manifest(f"{{memory: {text}}}").limits.memory == amount


@pytest.mark.parametrize(("text", "cores"), [("0.5", 0.5), ("500m", 0.5), ("'2'", 2.0), ("2", 2.0), ("50m", 0.05)])
def test_shares_of_the_cpu(text, cores):
    """In cores, or in thousandths of one, as Kubernetes writes it."""
    assert manifest(f"{{cpu: {text}}}").limits.cpu == cores


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ("{cpu: 0}", "limits.cpu: must be from 0.05 to 1024, not 0"),
        ("{cpu: 10m}", "limits.cpu: must be from 0.05 to 1024, not 10m"),
        ("{cpu: 5000}", "limits.cpu: must be from 0.05 to 1024, not 5000"),
        ("{cpu: -1}", "limits.cpu: must be a number of CPU cores such as 0.5, 2 or 500m, not -1"),
        ("{cpu: .nan}", "limits.cpu: must be a number of CPU cores"),
        ("{cpu: .inf}", "limits.cpu: must be a number of CPU cores"),
        ("{cpu: true}", "limits.cpu: must be a number of CPU cores"),
        ("{cpu: 50%}", "limits.cpu: must be a number of CPU cores such as 0.5, 2 or 500m, not '50%'"),
        ("{memory: 0}", "limits.memory: must be from 16Mi to 16Ti, not 0"),
        ("{memory: 1Mi}", "limits.memory: must be from 16Mi to 16Ti, not 1Mi"),
        ("{memory: 99999999999999999999Gi}", "limits.memory: must be from 16Mi to 16Ti"),
        ("{memory: 9999999999999999999999999Gi}", "limits.memory: must be an amount of bytes such as 512Mi"),
        ("{memory: -1}", "limits.memory: must be an amount of bytes such as 512Mi, 2Gi or 500M, not -1"),
        ("{memory: .nan}", "limits.memory: must be an amount of bytes such as 512Mi, 2Gi or 500M, not nan"),
        ("{memory: .inf}", "limits.memory: must be an amount of bytes"),
        ("{memory: true}", "limits.memory: must be an amount of bytes"),
        ("{memory: 512MB}", "limits.memory: must be an amount of bytes such as 512Mi, 2Gi or 500M, not '512MB'"),
        ("{memory: [1]}", "limits.memory: must be an amount of bytes"),
        ("{open_files: 0}", "limits.open_files: must be greater than or equal to 16, not 0"),
        ("{open_files: 2000000}", "limits.open_files: must be less than or equal to 1000000"),
        ("{open_files: .nan}", "limits.open_files: must be a valid integer, not nan"),
        ("{processes: 0}", "limits.processes: must be greater than or equal to 1, not 0"),
        ("{processes: -3}", "limits.processes: must be greater than or equal to 1"),
        ("{processes: many}", "limits.processes: must be a valid integer, not 'many'"),
        ("{memroy: 1Gi}", "limits.memroy: unknown key; did you mean 'memory'?"),
        ("512Mi", "limits: must hold a mapping (KEY: VALUE), not '512Mi'"),
    ],
)
def test_what_is_no_limit_is_refused(limits, words):
    """With a sentence and the line."""
    with pytest.raises(PluginRejected) as caught:
        manifest(limits)
    assert caught.value.failures[0].message.startswith(words)
    assert caught.value.failures[0].line == 1


def test_an_empty_section_limits_nothing():
    """As where it is absent."""
    assert manifest("").limits == Limits()


def test_a_plugin_s_limit_goes_before_the_site_s():
    """The site's counts where the plugin has none."""
    limits = Limits(memory="64Mi", processes=3).within(Limits(memory="1Gi", open_files=100))
    assert (limits.memory, limits.open_files, limits.processes) == (64 * MIB, 100, 3)


def test_more_than_the_site_allows():
    """One sentence for each, with the setting; what the site does not limit is free."""
    site = Limits(memory="1Gi", open_files=200, cpu="1500m")
    problems = Limits(memory="2Gi", open_files=200, processes=9, cpu=2).problems(site)
    assert problems == [
        "limits.memory: 2Gi is more than this server allows a plugin; ask for 1Gi or less, or have "
        "IOCMNG_PLUGIN_MEMORY raised",
        "limits.cpu: 2 is more than this server allows a plugin; ask for 1.5 or less, or have IOCMNG_PLUGIN_CPU raised",
    ]


@pytest.mark.parametrize(("amount", "text"), [(MIB, "1Mi"), (1536 * MIB, "1536Mi"), (2**30, "1Gi"), (1000, "1000")])
def test_amounts_in_messages(amount, text):
    """As somebody would write them."""
    assert quantity(amount) == text
