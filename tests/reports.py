"""What a proof of this repository leaves behind: `with report(NAME) as made:`; of a run of pytest `--report NAME`."""

from __future__ import annotations

from functools import partial

from scripts.bootorder.proving.report import report as report_in
from tests.stack import ROOT

report = partial(report_in, ROOT)
