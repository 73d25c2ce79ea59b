"""The interactive documentation of the API, under the same strict content security policy as all pages."""

from drf_spectacular.views import SpectacularSwaggerSplitView


class Docs(SpectacularSwaggerSplitView):
    """Swagger UI with its script in a separate file. The template has no inline style."""

    template_name = "feedback/platform/api/docs.html"
