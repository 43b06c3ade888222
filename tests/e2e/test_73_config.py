# SPDX-License-Identifier: ISC
"""Configurations of several files, secrets that stand elsewhere, and what a
reload says of all that."""

import os

import pytest

PART = """
profile parted {
  issuer = local
  allowed_suffixes = { "%s" }
}
"""


@pytest.fixture
def server(new_server):
    """Its configuration includes what there is in conf.d."""
    made = new_server(extra='include = "conf.d/*.conf"')
    (made.directory / "conf.d").mkdir()
    return made


def parts(server):
    return server.directory / "conf.d"


def test_the_check_names_file_and_line(server):
    (parts(server) / "10.conf").write_text("# 1\n\nlog_levle = info\n")
    (parts(server) / "20.conf").write_text('include = "20.conf"\n')
    for words in (["-t"], []):
        done = server.run("-c", server.file, *words)
        assert done.returncode != 0
        assert (f"{parts(server)}/20.conf:1: include of "
                f"{parts(server)}/20.conf: it is being read already"
                ) in done.stdout
    (parts(server) / "20.conf").unlink()
    done = server.run("-c", server.file, "-t")
    assert done.returncode != 0
    assert f"{parts(server)}/10.conf:3: there is no option" in done.stdout
    (parts(server) / "10.conf").write_text('log_level = "${CERTLOOP_NO}"\n')
    done = server.run("-c", server.file, "-t")
    assert (f"{parts(server)}/10.conf:1: the environment has no variable "
            "CERTLOOP_NO") in done.stdout
    (parts(server) / "10.conf").unlink()
    assert server.run("-c", server.file, "-t").returncode == 0


def test_a_reload_takes_and_leaves_parts(server):
    server.start()
    parts(server).joinpath("p.conf").write_text(PART % "example.org")
    done = server.ctl("reload")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "changed: profile parted added\n" in done.stdout
    server.wait_log(r'msg=changed .*option="profile parted added"')
    client = server.client(profile="parted")
    client.obtain(["www.example.org"])
    # by the signal it is the same, and the log says it
    parts(server).joinpath("p.conf").write_text(PART % "example.net")
    offset = server.log_size()
    server.hup()
    server.wait_log(r"msg=reloaded ", offset)
    server.wait_log(r"msg=changed .*profile parted allowed_suffixes: .*"
                    r"example\.org.* -> .*example\.net", offset, 1)
    client.order(["www.example.net"])
    offset = server.log_size()
    server.hup()
    server.wait_log(r"msg=reloaded ", offset)
    server.wait_log(r'msg="no option has changed"', offset, 1)
    # one that is wrong changes nothing, and is named
    parts(server).joinpath("q.conf").write_text("\nprofile q {\n")
    offset = server.log_size()
    done = server.ctl("reload")
    assert done.returncode != 0
    said = f"{parts(server)}/q.conf:2: "
    assert said in done.stdout + done.stderr
    assert "refused: nothing has changed" in done.stdout + done.stderr
    server.wait_log(r'msg="reload refused: nothing has changed"', offset)
    assert said in server.log(offset)
    client.order(["more.example.net"])


def test_what_needs_a_restart_is_named_each_on_a_line(server):
    server.start()
    client = server.client()
    client.register()
    part = parts(server) / "p.conf"
    part.write_text(PART % "example.org" + 'store { queue = 77 }\n'
                    'admin_socket = "/tmp/other.sock"\n')
    offset = server.log_size()
    server.hup()
    server.wait_log(r'msg="reload refused: nothing has changed"', offset)
    log = server.log(offset)
    for what in ("store queue", "admin_socket"):
        assert f'message="{what}: only a restart can change this"' in log
    assert "msg=changed" not in log
    done = server.ctl("reload")
    assert done.returncode != 0
    assert ("store queue: only a restart can change this"
            in (done.stdout + done.stderr))
    # all is as before
    assert "parted" not in server.ctl("config", "show").stdout
    client.order(["www.example.org"])


def test_a_secret_is_never_told(server, tmp_path):
    """Neither that of the store, in whichever way it is given."""
    secret = "h1dd3n${HOME}"
    file = tmp_path / "url"
    file.write_text(f"postgresql://u:{secret}@127.0.0.1:1/x\n")
    file.chmod(0o640)
    server.start()
    for url in (f"postgresql://u:{secret}@127.0.0.1:1/x",
                f"postgresql://127.0.0.1:1/x?user=u&password={secret}",
                f"file:{file}",
                "${CERTLOOP_URL:-postgresql://u:h1dd3n@127.0.0.1:1/x}"):
        url = url.replace("${HOME}", "\\${HOME}")
        server.write_config(server.config().replace(
            f'"{server.store.url}"', f'"{url}"'))
        offset = server.log_size()
        done = server.ctl("reload")
        assert done.returncode != 0
        said = done.stdout + done.stderr
        assert "store url" in said
        assert "h1dd3n" not in said + server.log(offset)


def test_the_store_is_named_by_a_file(new_server, tmp_path):
    """Which is taken as it is, and which others cannot read."""
    server = new_server()
    file = tmp_path / "url"
    file.write_text(f"sqlite:{tmp_path}/${{HOME}}.db\n\n")
    server.write_config(server.config().replace(
        f'"{server.store.url}"', f'"file:{file}"'))
    file.chmod(0o644)
    done = server.run("-c", server.file, "-t")
    assert done.returncode != 0
    assert "others can use that file" in done.stdout
    assert f"{server.file}:" in done.stdout
    file.chmod(0o600)
    shown = server.run("-c", server.file, "-t")
    assert shown.returncode == 0, shown.stdout
    server.spawn()
    server.wait_log(r"msg=ready")
    assert os.path.exists(tmp_path / "${HOME}.db")
    for content, says in (("", "one line"), ("a\nb", "one line"),
                          ("mysql://x", "must be sqlite:PATH")):
        file.write_text(content)
        other = tmp_path / "other.conf"
        other.write_text(f'store {{ url = "file:{file}" }}\n')
        done = server.ctl("config", "check", other)
        assert done.returncode != 0
        assert says in done.stdout + done.stderr
        assert "mysql" not in done.stdout + done.stderr
