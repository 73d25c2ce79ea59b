"""One-time links: the page that one opens, and the page that asks for one after a password was forgotten."""

from django.contrib import messages
from django.contrib.auth import login, logout
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables

from feedback.celery_app import FORGOTTEN, send_job
from feedback.errors import DomainError, NotFound, TooManyRequests
from feedback.models import AccountLink
from feedback.services.platform import account_links, account_mail
from feedback.web.forms import add_error, form_status
from feedback.web.platform import sign_in as sign_in_web
from feedback.web.platform.account_forms import ForgottenForm, NewPasswordForm

ASKED = "If an account with an e-mail address goes by that name, a link is on its way. Check your mail."


def shown_address(request: HttpRequest, secret: str) -> str:
    """The address of a link that an admin copies: under PUBLIC_URL, or under the allowed host that the admin uses."""
    address = account_mail.public_address(secret)
    return address if address.startswith("http") else request.build_absolute_uri(address)


@never_cache
@sensitive_post_parameters()
@sensitive_variables("secret")
def link(request: HttpRequest, secret: str) -> HttpResponse:
    """Set a password by a one-time link, and sign in with it. Only the POST uses the link up: mail scanners open it."""
    try:
        found = account_links.find(secret)
    except NotFound as error:
        return _dead(request, error)
    form = NewPasswordForm(request.POST or None, user=found.person)
    if request.method == "POST" and form.is_valid():
        try:
            who = account_links.use(secret=secret, password=form.cleaned_data["password1"])
        except NotFound as error:
            return _dead(request, error)
        except DomainError as error:
            add_error(form, error)
        else:
            logout(request)  # of whoever was signed in: nothing of their session goes on
            login(request, who)
            reply = redirect("home")
            sign_in_web.know_device(request, reply, who)
            messages.success(request, f"Your password is set. You are signed in as {who}.")
            return reply
    context = {"form": form, "link": found, "invitation": found.purpose == AccountLink.Purpose.INVITATION}
    return render(request, "feedback/platform/account/link.html", context, status=form_status(form))


@never_cache
def forgotten(request: HttpRequest) -> HttpResponse:
    """Ask for a link by e-mail. The reply and its time are the same whoever is asked for: a worker sends the mail."""
    form = ForgottenForm(request.POST or None)
    error, asked, status = "", False, form_status(form)
    if request.method == "POST" and form.is_valid() and account_mail.can_send():
        try:
            sign_in_web.limit_forgotten(request)
        except TooManyRequests as refused:
            error, status = refused.sentence, refused.status
        else:
            asked = send_job(FORGOTTEN, account_mail.forgetful(form.cleaned_data["name"]))
            if not asked:
                error, status = "The server cannot send e-mail right now. Try again in a minute.", 503
    context = {"form": form, "error": error, "asked": ASKED if asked else "", "can_mail": account_mail.can_send()}
    return render(request, "feedback/platform/account/forgotten.html", context, status=status)


def _dead(request: HttpRequest, error: NotFound) -> HttpResponse:
    return render(request, "feedback/platform/account/link_dead.html", {"error": error.sentence}, status=error.status)
