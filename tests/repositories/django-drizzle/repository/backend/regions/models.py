from django.contrib.gis.db import models


class Region(models.Model):
    name = models.CharField(max_length=200)
    area = models.MultiPolygonField()
