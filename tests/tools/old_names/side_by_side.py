"""Runs command lines with the old tools, in this process, and with awsb. Reads a JSON object: `awsb`, the endpoints
`old` and `new`, and `cases` with `tool`, `args` and `stdin` (a text, or null for a terminal). Writes a JSON array of
pairs of results: `code`, `stdout`, `stderr`."""
import contextlib
import importlib
import io
import json
import os
import subprocess
import sys
import tempfile


def standard_input(text):
    if text is None:
        _, terminal = os.openpty()
        return os.fdopen(terminal, "r")
    file = tempfile.TemporaryFile("w+")
    file.write(text)
    file.seek(0)
    return file


def old(case):
    stdout, stderr = io.StringIO(), io.StringIO()
    code = 0
    sys.argv = [case["tool"], *case["args"]]
    # awsbsub closes the file under it.
    given_stdin = standard_input(case["stdin"])
    sys.stdin = open(os.dup(given_stdin.fileno()), "r", closefd=False)
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        try:
            importlib.import_module("awsbatch." + case["tool"]).main()
        except SystemExit as e:
            code = e.code or 0
    return {"code": code, "stdout": stdout.getvalue(), "stderr": stderr.getvalue()}


def new(case, awsb, endpoint):
    with standard_input(case["stdin"]) as stdin:
        ran = subprocess.run(
            [awsb, case["tool"], *case["args"]],
            stdin=stdin, capture_output=True, text=True, timeout=60, env={**os.environ, "AWS_ENDPOINT_URL": endpoint},
        )
    return {"code": ran.returncode, "stdout": ran.stdout, "stderr": ran.stderr}


given = json.load(sys.stdin)
output = sys.stdout
results = []
for case in given["cases"]:
    os.environ["AWS_ENDPOINT_URL"] = given["old"]
    results.append([old(case), new(case, given["awsb"], given["new"])])
json.dump(results, output)
