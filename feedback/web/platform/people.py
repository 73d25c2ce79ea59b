"""The directory of people: invite, suspend, reinstate, links to reset a password. For site admins."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from feedback.errors import DomainError, NotFound
from feedback.models import AccountLink, Person
from feedback.selectors.platform import people as people_selectors
from feedback.services.platform import account_links, account_mail, accounts
from feedback.web.forms import add_error, form_status
from feedback.web.pages import Context, person, refuse_nul
from feedback.web.pagination import page_of
from feedback.web.platform.account_forms import ContactForm, InvitationForm
from feedback.web.platform.account_links import shown_address
from feedback.web.platform.events import as_sentences

P = ParamSpec("P")


def for_site_admins(view: Callable[Concatenate[HttpRequest, P], HttpResponse]) -> Callable[..., HttpResponse]:
    """A page that only site admins have: 403 for everybody else."""

    @wraps(view)
    def wrapped(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        accounts.require_site_admin(person(request))
        refuse_nul(request)
        return view(request, *args, **kwargs)

    return login_required(wrapped)


def one_person(view: Callable[[HttpRequest, Person], HttpResponse]) -> Callable[..., HttpResponse]:
    """A page about a person with an account."""

    @wraps(view)
    def wrapped(request: HttpRequest, person_id: UUID) -> HttpResponse:
        found = Person.objects.filter(public_id=person_id, username__isnull=False).first()
        if found is None:
            raise NotFound
        return view(request, found)

    return for_site_admins(wrapped)


@for_site_admins
def people(request: HttpRequest) -> HttpResponse:
    search, status = request.GET.get("search", "").strip()[:150], request.GET.get("status", "")
    page = page_of(people_selectors.directory(search, status), request.GET.get("after"))
    query = urlencode({name: value for name, value in (("search", search), ("status", status)) if value})
    context = {"page": page, "query": query, "search": search, "status": status, "statuses": people_selectors.STATUSES}
    return render(request, "feedback/platform/people/list.html", context)


@never_cache
@for_site_admins
def invite(request: HttpRequest) -> HttpResponse:
    form = InvitationForm(request.POST or None, initial={"role": "annotator"})
    if request.method == "POST" and form.is_valid():
        try:
            link, secret = account_links.invite(by=person(request), **form.cleaned_data)
        except DomainError as error:
            add_error(form, error)
        else:
            return _show(request, link.person, **link_context(request, link, secret))
    context = {"form": form, "can_mail": account_mail.can_send()}
    return render(request, "feedback/platform/people/invite.html", context, status=form_status(form))


@never_cache
@one_person
def one(request: HttpRequest, who: Person) -> HttpResponse:
    form = ContactForm(request.POST or None, initial={"display_name": who.display_name, "email": who.email})
    if request.method == "POST" and form.is_valid():
        accounts.change_contact(by=person(request), person=who, **form.cleaned_data)
        messages.success(request, "Saved.")
        return redirect("person", who.public_id)
    return _show(request, who, form=form)


@require_POST
@one_person
def suspend(request: HttpRequest, who: Person) -> HttpResponse:
    accounts.suspend(by=person(request), person=who)
    messages.success(request, f"{who} is suspended: signed out, tokens revoked, held tasks returned.")
    return redirect("person", who.public_id)


@require_POST
@one_person
def reinstate(request: HttpRequest, who: Person) -> HttpResponse:
    accounts.reinstate(by=person(request), person=who)
    messages.success(request, f"{who} can sign in again. Tokens that were revoked stay revoked.")
    return redirect("person", who.public_id)


@require_POST
@one_person
def sign_out(request: HttpRequest, who: Person) -> HttpResponse:
    accounts.sign_out_everywhere(by=person(request), person=who, tokens=request.POST.get("tokens") == "on")
    messages.success(request, f"{who} is signed out in every browser.")
    return redirect("person", who.public_id)


@never_cache
@require_POST
@one_person
def create_link(request: HttpRequest, who: Person) -> HttpResponse:
    """A new invitation or password link, shown in this reply only."""
    link, secret = account_links.create_link(by=person(request), person=who)
    return _show(request, who, **link_context(request, link, secret))


def link_context(request: HttpRequest, link: AccountLink, secret: str) -> Context:
    """E-mail a new link where that is possible, and show it to be copied."""
    return {"new_link": link, "address": shown_address(request, secret), "emailed": account_mail.send(link, secret)}


def _show(request: HttpRequest, who: Person, **more: object) -> HttpResponse:
    form = more.pop("form", None) or ContactForm(initial={"display_name": who.display_name, "email": who.email})
    facts = people_selectors.facts(who)
    context: Context = {
        "who": who,
        "facts": facts,
        "events": as_sentences(facts.events),
        "form": form,
        "can_mail": account_mail.can_send(),
        "is_self": who.pk == person(request).pk,
    }
    status = form_status(form)  # type: ignore[arg-type]
    if "new_link" in more:
        status = 201
    return render(request, "feedback/platform/people/person.html", context | more, status=status)
