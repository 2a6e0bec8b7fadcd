from django.contrib import admin
from django.urls import include, path

from regions.views import health

urlpatterns = [
    path("admin/", admin.site.urls),
    path("health/", health),
    path("api/", include("regions.urls")),
]
