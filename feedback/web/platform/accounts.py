"""Sign-in, sign-out, and the account page with the API tokens and the own work of a person."""

from datetime import timedelta
from functools import partial

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login, logout, update_session_auth_hash
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render, resolve_url
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from feedback.errors import Busy, DomainError, NotFound, TooManyRequests
from feedback.models import Project
from feedback.selectors.collection import annotations, my_work
from feedback.selectors.platform import access
from feedback.selectors.quality import reviews
from feedback.services.platform import accounts, tokens
from feedback.web.forms import add_error, form_status
from feedback.web.pages import person, project_page, viewer
from feedback.web.pagination import page_of
from feedback.web.platform import sign_in as sign_in_web
from feedback.web.platform.account_forms import PasswordForm, SignInForm, TokenForm

WRONG_PASSWORD = "The username or password is wrong. Check both and try again."


@never_cache
@sensitive_post_parameters("password")
def sign_in(request: HttpRequest) -> HttpResponse:
    """Sign in. Unknown usernames and wrong passwords get the same sentence, which reveals no account."""
    target = _target(request)
    if request.user.is_authenticated:
        return redirect(target)
    form = SignInForm(request.POST or None)
    error, status, wait = "", 200, 0
    if request.method == "POST":
        status = 422
        if form.is_valid():
            username = form.cleaned_data["username"]
            try:
                who = sign_in_web.try_password(request, username, form.cleaned_data["password"])
            except (TooManyRequests, Busy) as refused:
                error, status, wait = refused.sentence, refused.status, refused.extra["retry_after"]
            else:
                if who is not None:
                    login(request, who)
                    reply = redirect(target)
                    sign_in_web.know_device(request, reply, who)
                    return reply
                error = WRONG_PASSWORD
    context = {"form": form, "error": error, "next": request.POST.get("next") or request.GET.get("next", "")}
    page = render(request, "feedback/platform/account/sign_in.html", context, status=status)
    if wait:
        page["Retry-After"] = str(wait)
    return page


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    messages.success(request, "You are signed out.")
    return redirect("sign_in")


@never_cache
@login_required
@sensitive_post_parameters()
def change_password(request: HttpRequest) -> HttpResponse:
    """Change one's own password. Other sessions end, this one stays."""
    who = person(request)
    form = PasswordForm(request.POST or None, user=who, confirm=partial(sign_in_web.confirm_password, request, who))
    if request.method == "POST" and form.is_valid():
        try:
            accounts.set_password(by=who, person=who, password=form.cleaned_data["password1"])
        except DomainError as error:
            add_error(form, error)
        else:
            update_session_auth_hash(request, who)
            messages.success(request, "Password changed. Your other sessions have ended; API tokens still work.")
            return redirect("account")
    context = {"form": form, "forced": accounts.must_change_password(who)}
    return render(request, "feedback/platform/account/password.html", context, status=form_status(form))


@login_required
@require_POST
def sign_out_everywhere(request: HttpRequest) -> HttpResponse:
    who = person(request)
    with_tokens = request.POST.get("tokens") == "on"
    accounts.sign_out_everywhere(by=who, person=who, tokens=with_tokens)
    logout(request)
    also = " Your API tokens are revoked." if with_tokens else ""
    messages.success(request, f"You are signed out in every browser.{also}")
    return redirect("sign_in")


@never_cache
@login_required
def account(request: HttpRequest) -> HttpResponse:
    return _account(request, TokenForm(projects=access.projects_for(viewer(request))))


@never_cache
@login_required
@require_POST
def create_token(request: HttpRequest) -> HttpResponse:
    """Create a token. Its secret is only in this reply, not in the session and not in the database."""
    form = TokenForm(request.POST, projects=access.projects_for(viewer(request)))
    if not form.is_valid():
        return _account(request, form, status=422)
    expires_at = None
    if days := form.cleaned_data["days"]:
        expires_at = timezone.now() + timedelta(days=days)
    try:
        _, secret = tokens.create_token(
            person=person(request),
            name=form.cleaned_data["name"],
            scopes=form.cleaned_data["scopes"],
            project=form.cleaned_data["project"],
            expires_at=expires_at,
        )
    except DomainError as error:
        add_error(form, error)
        return _account(request, form, status=error.status)
    empty_form = TokenForm(projects=access.projects_for(viewer(request)))
    return _account(request, empty_form, secret=secret, status=201)


@login_required
@require_POST
def revoke_token(request: HttpRequest, token_id: str) -> HttpResponse:
    token = person(request).tokens.filter(public_id=token_id).first()
    if token is None:
        raise NotFound
    tokens.revoke_token(by=person(request), token=token)
    messages.success(request, f"Token “{token.name}” revoked. Requests with it are rejected from now on.")
    return redirect("account")


def _account(request: HttpRequest, form: TokenForm, *, secret: str = "", status: int = 200) -> HttpResponse:
    who = person(request)
    context = {
        "form": form,
        "secret": secret,
        "tokens": my_work.tokens(who),
        "projects": my_work.figures(who),
        "sent_back": reviews.sent_back_to(who),
    }
    return render(request, "feedback/platform/account/account.html", context, status=status)


def _target(request: HttpRequest) -> str:
    """The page to show after sign-in: the requested one if it is on this site, else home."""
    target = request.POST.get("next") or request.GET.get("next") or ""
    if url_has_allowed_host_and_scheme(target, allowed_hosts={request.get_host()}, require_https=request.is_secure()):
        return target
    return resolve_url(settings.LOGIN_REDIRECT_URL)


@project_page()
def answers(request: HttpRequest, project: Project) -> HttpResponse:
    """One's own answers in a project, newest first, each with the way back to it."""
    page = page_of(my_work.answers(project, person(request)), request.GET.get("after"))
    rows = [(row, my_work.may_revise(row.annotation)) for row in annotations.annotation_rows(page.rows)]
    return render(request, "feedback/platform/account/answers.html", {"project": project, "page": page, "rows": rows})
