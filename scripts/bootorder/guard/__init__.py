"""What keeps owners apart: roles, layouts, the event triggers, and finding out what was changed even so."""
