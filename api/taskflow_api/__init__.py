"""The taskflow API: workers, projects, tasks and the audit trail of who changed what."""
