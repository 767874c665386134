"""Our marked block in webui-user.sh and webui-user.bat: how it is rendered, found, put in and taken out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from sdlauncher.core.launch import YOURS_IN_FILE, EnvVar, LaunchPlan
from sdlauncher.core.quoting import join_words, quote_for_bash, quote_for_cmd
from sdlauncher.core.wishes import NOTHING_YOURS, Yours
from sdlauncher.errors import SdLauncherError

BEGIN: Final = "=== sdlauncher: begin ==="
END: Final = "=== sdlauncher: end ==="
ARGUMENTS: Final = "COMMANDLINE_ARGS"

# Shell variables of webui.sh that mean nothing to webui.bat, and the other way round.
_ONLY: Final = {"sh": ("PYTHON", "VENV_DIR"), "cmd": ("python_cmd", "venv_dir", "PYTHON", "VENV_DIR")}
_PLAIN_ARGUMENTS: Final = re.compile(r"[A-Za-z0-9 _+=:,./'@-]*")


@dataclass(frozen=True, slots=True)
class Script:
    """One webui-user file: its shell (sh or cmd), our template for it, and whether it starts webui.sh itself."""

    shell: str
    template: str
    starts_webui: bool = False
    own_python: tuple[str, ...] = ()

    @property
    def newline(self) -> str:
        """The line end of a new file."""
        return "\n" if self.shell == "sh" else "\r\n"

    @property
    def skeleton(self) -> str:
        """A new file without our block."""
        head, _, tail = _split_template(self.template)
        return (head + tail).replace("\n", self.newline)


def render_block(plan: LaunchPlan, script: Script, yours: Yours = NOTHING_YOURS) -> str:
    """Render our block, lines ended by \\n. `yours` is what this very file sets outside it.

    Raises SDL-VALUE-BASH or SDL-VALUE-CMD for a value that the shell cannot carry.
    """
    _, block, _ = _split_template(script.template)
    variables = [variable for variable in plan.env if _is_ours(variable, script, yours)]
    own = join_words(word for flag in plan.written for word in flag.argv)
    make = _fill_bash if script.shell == "sh" else _fill_cmd
    values = make(plan, script, own, variables, yours)
    lines: list[str] = []
    for line in block.splitlines():
        found = re.fullmatch(r"( *)@@([A-Z_]+)@@", line)
        if found is None:
            lines.append(re.sub(r"@@([A-Z_]+)@@", lambda match: "\n".join(values[match[1]]), line))
        else:
            lines += [found[1] + text for text in values[found[2]]]
    return "\n".join(lines) + "\n"


def put_block(text: str, block: str, script: Script) -> str:
    """Put our block into a file, in place of the old one; every other character stays.

    It must run after the user's own assignments and before the file starts the WebUI; where an old block no longer
    does, it moves. An empty or absent file becomes our template's.
    """
    if not text:
        head, _, tail = _split_template(script.template)
        return (head + block + tail).replace("\n", script.newline)
    newline = "\r\n" if script.shell == "cmd" and "\r\n" in text else "\n"
    mine = block.replace("\n", newline)
    start, end = find_block(text)
    if start < end and not re.search(_OVERRIDE[script.shell], text[end:], re.MULTILINE | re.IGNORECASE):
        return text[:start] + mine + text[end:]
    rest = text[:start] + text[end:]
    at = _find_place(rest, script)
    gap = newline if at and not rest[:at].endswith("\n") else ""
    return rest[:at] + gap + mine + rest[at:]


def take_out_block(text: str) -> str:
    """Return a file without our block."""
    start, end = find_block(text)
    return text[:start] + text[end:]


def find_block(text: str) -> tuple[int, int]:
    """Return where our block begins and ends, (len, len) if there is none.

    Raises SDL-SCRIPT-BLOCK for a block that lost one of its marks: guessing would eat the user's own lines.
    """
    begins = list(re.finditer(rf"^(?:#|rem) {re.escape(BEGIN)}[ \t\r]*$", text, re.MULTILINE))
    ends = list(re.finditer(rf"^(?:#|rem) {re.escape(END)}[ \t\r]*(?:\n|\Z)", text, re.MULTILINE))
    if not begins and not ends:
        return len(text), len(text)
    if len(begins) != 1 or len(ends) != 1 or ends[0].start() < begins[0].start():
        raise SdLauncherError("SDL-SCRIPT-BLOCK", begins=len(begins), ends=len(ends))
    return begins[0].start(), ends[0].end()


# A line behind our block that would undo what it set.
_OVERRIDE: Final = {
    "sh": r"^[ \t]*(?:export[ \t]+|declare[ \t]+-x[ \t]+)?COMMANDLINE_ARGS\+?=",
    "cmd": r'^[ \t]*@?set[ \t]+"?COMMANDLINE_ARGS=',
}
# The line that starts the WebUI: our block must stand before it.
_START: Final = {
    "sh": r"^[ \t]*(?:exec|source|\.|bash|sh)?[ \t]*[\"']?[^\s#]*(?:\$\(dirname[^\n]*\))?[^\s#]*webui\.sh\b.*$",
    "cmd": r"^[ \t]*@?(?:call|cmd[ \t]+/c|start)?[ \t]*[\"']?[^\s:]*webui\.bat\b.*$",
}


def _find_place(text: str, script: Script) -> int:
    starts = [
        match.start()
        for match in re.finditer(_START[script.shell], text, re.MULTILINE | re.IGNORECASE)
        if not re.match(r"[ \t]*(?:#|@?rem\b|::)", match.group(), re.IGNORECASE)
    ]
    return starts[-1] if starts else len(text)


def _split_template(template: str) -> tuple[str, str, str]:
    start, end = find_block(template)
    return template[:start], template[start:end], template[end:]


def _is_ours(variable: EnvVar, script: Script, yours: Yours) -> bool:
    if variable.reason.code == YOURS_IN_FILE or variable.name in yours.opaque:
        return False
    if variable.name in yours.env and yours.env[variable.name] == variable.value:
        return False
    return variable.name in script.own_python or variable.name not in _ONLY[script.shell]


def _fill_bash(
    plan: LaunchPlan, script: Script, own: str, variables: list[EnvVar], yours: Yours
) -> dict[str, list[str]]:
    before = '"${COMMANDLINE_ARGS-} "'
    is_opaque = ARGUMENTS in yours.opaque
    secrets = []
    if plan.secret_argument:
        file = quote_for_bash(plan.credentials, "credentials")
        secrets = [
            f"[ -r {file} ] || {{ echo 'sdlauncher: cannot read the credentials in' {file} >&2; exit 1; }}",
            f'set -- "$@" {plan.secret_argument} "$(cat {file})"',
        ]
    return {
        "ARGUMENTS": [(before if yours.words or is_opaque else "") + quote_for_bash(own, ARGUMENTS)],
        "GIVEN_ARGUMENTS": [(before if is_opaque else "") + '"${SDLAUNCHER_COMMANDLINE_ARGS}"'],
        "VARIABLES": [f"export {item.name}={quote_for_bash(item.value, item.name)}" for item in variables] or [":"],
        "SECRETS": secrets,
        "START": ['exec "$(dirname -- "$0")/webui.sh" "$@"'] if script.starts_webui else [],
    }


def _fill_cmd(
    plan: LaunchPlan, script: Script, own: str, variables: list[EnvVar], yours: Yours
) -> dict[str, list[str]]:
    carried = quote_for_cmd(own, ARGUMENTS)
    is_opaque = ARGUMENTS in yours.opaque
    given = "%SDLAUNCHER_COMMANDLINE_ARGS%"
    arguments = f'set "{ARGUMENTS}={carried}"'
    if yours.words or is_opaque:
        if not _PLAIN_ARGUMENTS.fullmatch(own):
            # Words of both could then stand outside cmd's quotes, so the user's are written anew, as understood.
            if is_opaque:
                raise SdLauncherError("SDL-YOURS-OPAQUE-CMD", place=yours.place)
            arguments = f'set "{ARGUMENTS}={quote_for_cmd(join_words(yours.words) + " " + own, ARGUMENTS)}"'
        else:
            # Without quotes around the whole, so that those of the user's own value keep their meaning.
            arguments = f"set {ARGUMENTS}=%{ARGUMENTS}% {own}"
    secrets = []
    if plan.secret_argument:
        file = quote_for_cmd(plan.credentials.replace("/", "\\"), "credentials")
        mine = "if not defined SDLAUNCHER_INSTANCE"
        secrets = [
            f'{mine} for /f "usebackq delims=" %%s in ("{file}") do call webui.bat {plan.secret_argument} %%s %*',
            f"{mine} exit /b",
        ]
    lines = [f"if not defined SDLAUNCHER_INSTANCE {_set(item)}" for item in variables]
    is_ascii = all(line.isascii() for line in (arguments, *lines))
    return {
        "CODE_PAGE": [] if is_ascii else [
            # cmd reads each line of this file in the code page of the console; ours is in UTF-8.
            "for /f \"tokens=2 delims=:.\" %%c in ('chcp') do set SDLAUNCHER_CODE_PAGE=%%c",
            "chcp 65001 >nul",
        ],
        "ARGUMENTS": [arguments],
        "GIVEN_ARGUMENTS": [f'set "{ARGUMENTS}={"%" + ARGUMENTS + "% " if is_opaque else ""}{given}"'],
        "VARIABLES": lines,
        "CODE_PAGE_BACK": [] if is_ascii else ["chcp %SDLAUNCHER_CODE_PAGE% >nul"],
        "SECRETS": secrets,
    }  # fmt: skip


def _set(item: EnvVar) -> str:
    if item.value.startswith('"') and item.value.endswith('"') and len(item.value) > 1:
        return f'set {item.name}="{quote_for_cmd(item.value[1:-1], item.name)}"'
    return f'set "{item.name}={quote_for_cmd(item.value, item.name)}"'
