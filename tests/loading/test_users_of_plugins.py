"""Which user number each plugin has."""

import pytest

from iocmng.errors import InvalidRequest, ServerUnavailable
from iocmng.loading.plugin_users import PluginUsers, user_named
from iocmng.settings import Settings, load_settings


@pytest.fixture
def settings(tmp_path):
    """Three numbers."""
    (tmp_path / "state").mkdir()
    return Settings(state_dir=tmp_path / "state", plugin_uids="60100-60102")


def uids(settings, *names):
    users = PluginUsers(settings)
    return [users.owner_of(name).uid for name in names]


def test_each_plugin_has_its_own_and_keeps_it(settings):
    """Also when the server starts again."""
    assert uids(settings, "a", "b", "a") == [60100, 60101, 60100]
    assert uids(settings, "b", "c", "a") == [60101, 60102, 60100]


def test_a_number_is_given_again_as_late_as_possible(settings):
    """Something of the plugin that had it may lie somewhere yet."""
    uids(settings, "a", "b")
    PluginUsers(settings).forget(frozenset({"b"}))
    assert uids(settings, "c", "d", "b") == [60102, 60100, 60101]


def test_no_number_is_left(settings):
    """The sentence names the setting."""
    uids(settings, "a", "b", "c")
    with pytest.raises(ServerUnavailable, match="all 3 user numbers of IOCMNG_PLUGIN_UIDS are in use"):
        uids(settings, "d")


def test_a_number_outside_of_a_new_range_is_replaced(settings):
    """The site has given another range."""
    uids(settings, "a", "b")
    other = settings.model_copy(update={"plugin_uids": (60101, 60200)})
    assert uids(other, "b", "a") == [60101, 60102]


def test_a_damaged_file_gives_no_numbers_away(settings):
    """Two plugins must not get the same number by mistake."""
    (settings.state / "plugin-uids.json").write_text("{")
    with pytest.raises(ServerUnavailable, match="cannot be read"):
        uids(settings, "a")


def test_without_the_setting_plugins_keep_the_server_s_user(tmp_path):
    """Nothing is kept then."""
    users = PluginUsers(Settings(state_dir=tmp_path))
    assert users.owner_of("a") is None
    users.forget(frozenset())
    assert list(tmp_path.iterdir()) == []


def test_one_user_for_all(tmp_path):
    """By name; one that is not there, or is root, is refused."""
    import pwd

    user = next(user for user in pwd.getpwall() if user.pw_uid)
    owner = PluginUsers(Settings(state_dir=tmp_path, plugin_user=user.pw_name)).owner_of("a")
    assert (owner.uid, owner.gid, owner.is_shared) == (user.pw_uid, user.pw_gid, True)
    with pytest.raises(InvalidRequest, match="there is no user 'nobody-knows'"):
        user_named("nobody-knows")
    with pytest.raises(InvalidRequest, match="root is root; name a user without rights"):
        user_named("root")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"plugin_uids": "many"}, "must be the first and the last user number, such as 60100-60199"),
        ({"plugin_uids": "0-10"}, "0 is root"),
        ({"plugin_uids": "20-10"}, "must go upwards"),
        ({"plugin_uids": "60100-60199", "plugin_user": "nobody"}, "set one of them"),
        ({"plugin_umask": "99"}, "octal digits such as 077"),
        ({"plugin_umask": "1777"}, "octal digits such as 077"),
        ({"plugin_umask": 63}, "in quotes where it stands in a file"),
        ({"plugin_memory": "nan"}, "must be an amount of bytes such as 512Mi"),
        ({"plugin_memory": "1Ki"}, "must be from 16Mi to 16Ti"),
        ({"plugin_processes": "0"}, "greater than or equal to 1"),
        ({"plugin_env": "PATH,IOCMNG_TOKEN"}, "IOCMNG_TOKEN is the server's own"),
    ],
)
def test_settings_that_do_not_fit(values, words):
    """Each is refused with a sentence."""
    with pytest.raises(InvalidRequest, match=words):
        load_settings(**values)


def test_settings_from_texts():
    """As the environment gives them."""
    settings = load_settings(plugin_umask="027", plugin_memory="1Gi", plugin_env="A, B_*", plugin_uids="100-200")
    assert (settings.plugin_umask, settings.plugin_memory) == ("027", 2**30)
    assert (settings.plugin_env, settings.plugin_uids) == (("A", "B_*"), (100, 200))
