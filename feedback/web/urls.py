"""Paths of the pages: one list per part of the house."""

from django.urls import URLPattern

from feedback.web.admin_urls import admin_pages
from feedback.web.corpus_urls import corpus_pages
from feedback.web.desk_urls import desk_urls
from feedback.web.home_urls import home_urls
from feedback.web.transfer_urls import transfer_pages

urlpatterns: list[URLPattern] = [*home_urls, *desk_urls, *admin_pages, *transfer_pages, *corpus_pages]
