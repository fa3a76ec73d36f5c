"""The kernel answers every request of the messaging protocol as `jupyter_kernel_test` expects, all samples given."""

from __future__ import annotations

from typing import Any

import jupyter_kernel_test
import pytest

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(120)]

COMPLETIONS: list[dict[str, Any]] = [
    {"text": "zi", "matches": {"zip"}},
    {"text": "import nbforma", "matches": {"nbformat"}},
    {"text": "'text'.isdeci", "matches": {"isdecimal"}},
]
COMPLETE = ["1", "print('hello, world')", "def f(x):\n  return x*2\n\n\n", "%layers"]
INCOMPLETE = ["print('''hello", "def f(x):\n  x*2", "for i in range(3):"]
INVALID = ["import = 7q", "x = = 1"]
RESULTS = [
    {"code": "1+2+3", "result": "6"},
    {"code": "[n*n for n in range(1, 4)]", "result": "[1, 4, 9]"},
    {"code": "from IPython.display import HTML; HTML('<b>bold</b>')", "mime": "text/html", "result": "<b>bold</b>"},
]
DISPLAYS = [
    {"code": "from IPython.display import HTML, display; display(HTML('<b>test</b>'))", "mime": "text/html"},
    {"code": "from IPython.display import Math, display; display(Math('x^2'))", "mime": "text/latex"},
    {"code": "%state", "mime": "text/html"},
]


class TestKernel(jupyter_kernel_test.KernelTests):
    """Requests and replies of one kernel."""

    kernel_name = "cellstack"
    language_name = "python"
    file_extension = ".py"

    code_hello_world = "print('hello, world')"
    code_stderr = "import sys; print('oops', file=sys.stderr)"
    code_generate_error = "raise ValueError('wanted')"
    code_page_something = "zip?"
    code_clear_output = "from IPython.display import clear_output; clear_output()"
    code_inspect_sample = "zip"
    code_history_pattern = "1?2*"
    supported_history_operations = ("tail", "range", "search")  # type: ignore[assignment]  # typed as the empty tuple
    completion_samples = COMPLETIONS
    complete_code_samples = COMPLETE
    incomplete_code_samples = INCOMPLETE
    invalid_code_samples = INVALID
    code_execute_result = RESULTS
    code_display_data = DISPLAYS


class TestWelcome(jupyter_kernel_test.IopubWelcomeTests):
    """What a client hears first."""

    kernel_name = "cellstack"
    support_iopub_welcome = True
