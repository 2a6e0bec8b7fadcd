from django.db import models


class Session(models.Model):
    id = models.TextField(primary_key=True)
    user = models.ForeignKey("auth.User", on_delete=models.CASCADE)

    class Meta:
        db_table = "session"

    def __str__(self) -> str:
        return self.id
