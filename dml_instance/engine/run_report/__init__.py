"""``report.html``: what a training was like, what came out, and what to try next."""

from .writing import REPORT_FILE, write_report

__all__ = ["REPORT_FILE", "write_report"]
