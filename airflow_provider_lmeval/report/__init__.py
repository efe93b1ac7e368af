"""A verdict as a document that people can pass on: one HTML file, or Markdown for a pull request.

A table in a log convinces nobody who was not there. A report has to be readable years later, offline, on a phone, in a
mail's attachment, on paper; so the HTML has no script and no resource of its own outside the file. Most of what it shows
was written by models and strangers, and is escaped without exception. Pure: data come in, a text goes out.
"""

from airflow_provider_lmeval.report.answers import Answer, SampleTables
from airflow_provider_lmeval.report.brief import brief
from airflow_provider_lmeval.report.page import Page, page
from airflow_provider_lmeval.report.render import html, markdown

__all__ = ["Answer", "Page", "SampleTables", "brief", "html", "markdown", "page"]
