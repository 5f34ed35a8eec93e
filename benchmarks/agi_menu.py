"""The rival with a process for each call: the same menu as an AGI script in plain verbs, without any library.

Asterisk runs it as `agi_menu.py GREETING RESTARTED NUMBER AFTER`, each argument some prompts joined by `&`.
"""

import sys


def ask(command: str) -> int:
    """The `result=` of one AGI command; -1 when the caller is gone."""
    sys.stdout.write(command + "\n")
    sys.stdout.flush()
    answer = sys.stdin.readline()
    return int(answer.partition("result=")[2].split()[0]) if "result=" in answer else -1


def key(files: str, keys: str) -> int:
    """Play the prompts until one of `keys` is pressed; then wait for one."""
    for file in files.split("&"):
        if pressed := ask(f'STREAM FILE "{file}" "{keys}"'):
            return pressed
    return ask("WAIT FOR DIGIT 5000")


def main() -> None:
    greeting, restarted, number, after = sys.argv[1:5]
    while sys.stdin.readline().strip():
        pass  # the call's description, up to an empty line
    ask("ANSWER")
    if key(greeting, "1") == ord("1") and key(restarted, "1") == ord("1"):
        for file in number.split("&"):
            ask(f'STREAM FILE "{file}" ""')
        key(after, "1")
    ask("HANGUP")


main()
