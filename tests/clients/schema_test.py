"""Does the server answer as the OpenAPI document that it serves says? Asked by schemathesis: requests
made from the document, good ones and such as it forbids.

schema_test.py PROGRAM SAMPLE_MODEL
"""
import os
import subprocess
import sys
import tempfile

from serving import program

CHECKS = ("not_a_server_error,status_code_conformance,content_type_conformance,"
          "response_schema_conformance,unsupported_method,allow_header_conformance,"
          "negative_data_rejection")


def main():
    tool = os.path.join(os.path.dirname(sys.executable), "schemathesis")
    with program(*sys.argv[1:3]) as quarot, tempfile.TemporaryDirectory() as folder, \
            quarot.serving("--ctx", "256") as address:  # completions end soon
        done = subprocess.run(
            [tool, "run", address + "/openapi.json", "--phases", "coverage,fuzzing", "--checks", CHECKS,
             "--max-examples", "15", "--seed", "1", "--suppress-health-check", "all"],
            cwd=folder, capture_output=True, text=True, timeout=500)
    print(done.stdout[-5000:])
    if done.returncode != 0:
        sys.exit(f"FAILED: the server and its document differ {done.stderr[-1000:]}")


main()
