"""The schema as pages to try it from, under the same strict content security policy as everything else."""

from drf_spectacular.views import SpectacularSwaggerSplitView


class Docs(SpectacularSwaggerSplitView):
    """Swagger UI with its script as a file of its own. The template has no inline style either."""

    template_name = "feedback/platform/api/docs.html"
