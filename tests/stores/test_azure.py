"""Azure on its bad days, and what it is sent on its good ones. The server is Azurite, before it stands a proxy."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import azurite
import pytest
from live_stores import LOCK, azure_store
from store_proxy import Reply, StoreProxy, refusal

from drorch.domain.errors import (
    AlreadyExists,
    Busy,
    Damaged,
    DrorchError,
    NotFound,
    OutcomeUnknown,
    Refused,
    Unavailable,
)
from drorch.ports import StoreLimits
from drorch.stores import azure
from drorch.stores.azure import blocks

PART = 64 * 1024
SPAN = 100_000


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[StoreProxy]:
    """Before the Azurite of this process; what the SDK waits before it asks again takes no time."""
    port = azurite.port()
    monkeypatch.setattr("time.sleep", lambda _: None)
    with StoreProxy(port) as opened:
        yield opened


@pytest.fixture
def container() -> str:
    return azurite.container()


@pytest.fixture
def store(proxy: StoreProxy, container: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[azure.AzureStore]:
    """Of small parts and spans, which asks once."""
    monkeypatch.setattr(azure, "SPAN", SPAN)
    opened = azure_store(proxy.port, container)
    opened.limits = StoreLimits(part_bytes=PART, max_parts=50_000)
    yield opened
    opened.close()


def read(store: azure.AzureStore, path: str) -> bytes:
    return b"".join(store.read(path))


def send_large(store: azure.AzureStore, path: str) -> azure.AzureUpload:
    """An upload of two parts, not committed."""
    upload = store.upload(path)
    upload.write(b"a" * PART)
    upload.write(b"b" * 100)
    return upload


def paths(store: azure.AzureStore) -> list[str]:
    return [found.path for found in store.list("")]


# --- lost replies --------------------------------------------------------------------------------------------------


def test_put_whose_reply_is_lost_is_done_when_the_object_is_ours(store: azure.AzureStore, proxy: StoreProxy) -> None:
    proxy.order("PUT", "after")
    store.put("a", b"body")
    assert read(store, "a") == b"body"


def test_put_repeated_by_the_sdk_after_a_lost_reply_is_no_conflict_with_itself(
    proxy: StoreProxy, container: str
) -> None:
    store = azure_store(proxy.port, container, attempts=2)
    proxy.order("PUT", "after")
    store.put("a", b"body")
    assert proxy.calls["PUT"] == 2


def test_put_whose_reply_is_lost_is_a_conflict_when_the_object_is_anothers(
    store: azure.AzureStore, proxy: StoreProxy
) -> None:
    store.put("a", b"first")
    proxy.order("PUT", "before")
    with pytest.raises(AlreadyExists):
        store.put("a", b"second")
    assert read(store, "a") == b"first"


@pytest.mark.parametrize("look", ["absent", "unanswered"])
def test_put_whose_outcome_cannot_be_looked_up_stays_unknown(
    store: azure.AzureStore, proxy: StoreProxy, look: str
) -> None:
    proxy.order("PUT", "before" if look == "absent" else "after")
    if look == "unanswered":
        proxy.order("HEAD", "before")
    with pytest.raises(OutcomeUnknown):
        store.put("a", b"body")


def test_commit_whose_reply_is_lost_is_done(store: azure.AzureStore, proxy: StoreProxy) -> None:
    upload = send_large(store, "a")
    proxy.order("PUT blocklist", "after")
    upload.commit()
    assert read(store, "a") == b"a" * PART + b"b" * 100


def test_commit_repeated_by_the_sdk_after_a_lost_reply_is_no_conflict_with_itself(
    proxy: StoreProxy, container: str
) -> None:
    store = azure_store(proxy.port, container, attempts=2)
    store.limits = StoreLimits(part_bytes=PART)
    upload = send_large(store, "a")
    proxy.order("PUT blocklist", "after")
    upload.commit()
    assert proxy.calls["PUT blocklist"] == 2


def test_commit_that_never_arrived_stays_unknown_and_can_be_given_up(
    store: azure.AzureStore, proxy: StoreProxy
) -> None:
    upload = send_large(store, "a")
    proxy.order("PUT blocklist", "before")
    with pytest.raises(OutcomeUnknown):
        upload.commit()
    upload.abort()
    assert paths(store) == []
    assert list(store.uploads("")) == []


def test_part_that_could_not_be_sent_ends_the_upload(store: azure.AzureStore, proxy: StoreProxy) -> None:
    upload = store.upload("a")
    upload.write(b"a" * PART)
    proxy.order("PUT block", "before")
    with pytest.raises(Unavailable):
        upload.write(b"b" * PART)
    with pytest.raises(Refused, match="part could not be sent"):
        upload.commit()


# --- blocks --------------------------------------------------------------------------------------------------------


def test_small_upload_is_one_request(store: azure.AzureStore, proxy: StoreProxy) -> None:
    upload = store.upload("a")
    upload.write(b"small")
    upload.commit()
    assert (proxy.calls["PUT"], proxy.calls["PUT block"], proxy.calls["PUT blocklist"]) == (1, 0, 0)


def test_unfinished_upload_is_listed_with_its_beginning_and_dropped(store: azure.AzureStore) -> None:
    before = store.now()
    send_large(store, "team/a")
    store.put("team/empty", b"")
    (pending,) = store.uploads("team/")
    assert (pending.path, before <= pending.begun <= store.now()) == ("team/a", True)
    assert list(store.uploads("other/")) == []
    store.abort_upload(pending)
    store.abort_upload(pending)
    assert list(store.uploads("")) == []
    assert paths(store) == ["team/empty"]


def test_blocks_are_not_dropped_while_another_upload_has_some_at_the_same_path(store: azure.AzureStore) -> None:
    first, second = send_large(store, "a"), send_large(store, "a")
    shown = list(store.uploads(""))
    assert [pending.path for pending in shown] == ["a", "a"]
    store.abort_upload(shown[0])
    first.abort()
    second.commit()
    assert store.stat("a").size == PART + 100


def test_blocks_of_another_program_are_not_ours_to_show_or_to_drop(store: azure.AzureStore) -> None:
    store.blob("a").stage_block("another's", b"theirs")
    assert list(store.uploads("")) == []
    store.blob("b").stage_block(f"{'another':56}", b"theirs")
    upload = send_large(store, "b")
    upload.abort()
    assert len(store.blob("b").get_block_list("uncommitted")[1]) == 3


def test_a_caller_who_may_not_delete_leaves_blocks_where_they_are(store: azure.AzureStore, proxy: StoreProxy) -> None:
    upload = send_large(store, "a")
    (pending,) = store.uploads("")
    proxy.order("DELETE", refusal(403, "AuthorizationPermissionMismatch"), times=2)
    with pytest.raises(Refused):
        store.abort_upload(pending)
    upload.abort()
    assert paths(store) == []
    assert len(list(store.uploads(""))) == 1


@pytest.mark.parametrize("large", [False, True])
def test_what_a_killed_process_left_over_its_blocks_stands_in_nobodys_way_for_long(
    store: azure.AzureStore, proxy: StoreProxy, large: bool
) -> None:
    send_large(store, "a")
    (pending,) = store.uploads("")
    proxy.order("DELETE", "none")
    proxy.order("DELETE", "before")
    with pytest.raises(OutcomeUnknown):
        store.abort_upload(pending)
    assert [found.size for found in store.list("")] == [0]
    with pytest.raises(Unavailable, match="free again"):
        send_large(store, "a").commit() if large else store.put("a", b"body")
    store.put("a", b"body")
    assert read(store, "a") == b"body"


def test_upload_whose_blocks_were_discarded_is_unavailable_not_absent(store: azure.AzureStore) -> None:
    upload = send_large(store, "a")
    store.put("a", b"another's")
    store.delete("a")
    with pytest.raises(Unavailable, match="discarded"):
        upload.commit()


def test_commit_refused_as_taken_asks_for_nothing_more(store: azure.AzureStore, proxy: StoreProxy) -> None:
    upload = send_large(store, "a")
    store.put("a", b"first")
    with pytest.raises(AlreadyExists):
        upload.commit()
    upload.abort()
    assert proxy.calls["DELETE"] == 0
    assert read(store, "a") == b"first"


def test_ids_of_blocks_are_as_long_as_each_other(store: azure.AzureStore) -> None:
    ids = {blocks.block_id(store.now(), "0" * 32, number) for number in (0, 9, 49_999)}
    assert {len(name) for name in ids} == {56}
    assert len(ids) == 3


# --- what arrives is what was sent ---------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["PUT", "PUT block"])
def test_bytes_that_change_on_the_way_are_refused_by_azure(
    store: azure.AzureStore, proxy: StoreProxy, operation: str
) -> None:
    proxy.order(operation, "spoil")
    with pytest.raises(Damaged):
        store.put("a", b"body") if operation == "PUT" else send_large(store, "a").commit()
    assert paths(store) == []


def test_object_that_azure_holds_with_another_size_is_damaged(store: azure.AzureStore, proxy: StoreProxy) -> None:
    def shorter(reply: Reply) -> None:
        reply.headers = {name: "7" if name.lower() == "content-length" else v for name, v in reply.headers.items()}

    proxy.order("HEAD", shorter)
    with pytest.raises(Damaged, match="7 bytes"):
        send_large(store, "a").commit()


def test_a_vault_whose_store_takes_no_lock_is_found_out(proxy: StoreProxy, container: str) -> None:
    store = azure_store(proxy.port, container, lock=LOCK)
    with pytest.raises(Refused):
        store.put("drorch/v1/data/a", b"body")


# --- reading -------------------------------------------------------------------------------------------------------


def test_body_cut_in_the_middle_is_taken_up_again(store: azure.AzureStore, proxy: StoreProxy) -> None:
    body = bytes(range(256)) * 1000
    store.put("a", body)
    proxy.order("GET", "short")
    assert read(store, "a") == body
    assert proxy.calls["GET"] == 4
    proxy.order("GET", "short", times=2)
    assert b"".join(store.read("a", 1000, 50_000)) == body[1000:51_000]


def test_body_cut_again_and_again_is_unavailable_never_short(store: azure.AzureStore, proxy: StoreProxy) -> None:
    store.put("a", b"x" * 1000)
    proxy.order("GET", "short", times=9)
    with pytest.raises(Unavailable):
        read(store, "a")


def test_object_replaced_while_it_is_read_is_unavailable_never_mixed(store: azure.AzureStore) -> None:
    store.put("a", b"x" * 3 * SPAN)
    chunks = store.read("a")
    assert next(chunks) == b"x" * SPAN
    store.put("a", b"y" * 3 * SPAN, overwrite=True)
    with pytest.raises(Unavailable, match="replaced"):
        next(chunks)


def test_what_is_read_is_held_a_span_at_a_time(store: azure.AzureStore) -> None:
    store.put("a", bytes(2 * SPAN + 5))
    assert [len(chunk) for chunk in store.read("a")] == [SPAN, SPAN, 5]
    assert [len(chunk) for chunk in store.read("a", 10, SPAN)] == [SPAN]


# --- listing -------------------------------------------------------------------------------------------------------


def test_listing_goes_past_its_first_page(store: azure.AzureStore, proxy: StoreProxy) -> None:
    store.limits = StoreLimits(page=3)
    for number in range(8):
        store.put(f"a/{number}", b"x")
    assert paths(store) == [f"a/{number}" for number in range(8)]
    assert proxy.calls["GET list"] == 3


def test_listing_that_fails_half_way_raises(store: azure.AzureStore, proxy: StoreProxy) -> None:
    store.limits = StoreLimits(page=3)
    for number in range(8):
        store.put(f"a/{number}", b"x")
    listing = store.list("a/")
    assert [next(listing).path for _ in range(3)] == ["a/0", "a/1", "a/2"]
    proxy.order("GET list", "before")
    with pytest.raises(Unavailable):
        next(listing)


def test_listing_that_goes_on_with_another_prefix_is_unavailable_never_mixed(
    store: azure.AzureStore, proxy: StoreProxy
) -> None:
    def silent(reply: Reply) -> None:
        reply.body = re.sub(b"<Prefix>.*?</Prefix>", b"", reply.body)

    store.limits = StoreLimits(page=2)
    for path in ("a", "b/1", "b/2", "b/3", "c"):
        store.put(path, b"x")
    proxy.order("GET list", silent)
    with pytest.raises(Unavailable, match="another prefix"):
        list(store.list("b/"))


@pytest.mark.parametrize("body", [b"<html>", b"", b"<EnumerationResults><Blobs><Blob><Name>team/dr/a</Name></Blob>"])
def test_listing_that_is_none_is_unavailable_never_empty(
    store: azure.AzureStore, proxy: StoreProxy, body: bytes
) -> None:
    def other(reply: Reply) -> None:
        reply.body = body

    store.put("a", b"x")
    proxy.order("GET list", other)
    with pytest.raises(Unavailable):
        paths(store)


# --- absent, lost, busy --------------------------------------------------------------------------------------------


def attempts(store: azure.AzureStore) -> list[Callable[[], object]]:
    return [
        lambda: store.stat("a"),
        lambda: read(store, "a"),
        lambda: paths(store),
        lambda: store.put("a", b"x"),
        lambda: send_large(store, "a"),
        store.now,
    ]


def test_missing_container_is_a_wrong_configuration_not_an_empty_vault(proxy: StoreProxy) -> None:
    store = azure_store(proxy.port, "acme-nowhere")
    store.limits = StoreLimits(part_bytes=PART)
    for attempt in attempts(store):
        with pytest.raises(Refused) as raised:
            attempt()
        assert not isinstance(raised.value, NotFound)
        assert "create the container" in raised.value.hint


def test_a_store_that_cannot_be_reached_is_unavailable_and_nothing_is_unknown() -> None:
    store = azure_store(1)
    for attempt in attempts(store)[:4]:
        with pytest.raises(Unavailable) as raised:
            attempt()
        assert raised.value.vault == "azure-eu"


def test_throttling_is_busy(store: azure.AzureStore, proxy: StoreProxy) -> None:
    proxy.order("HEAD", refusal(503, "ServerBusy"))
    with pytest.raises(Busy):
        store.stat("a")


@pytest.mark.parametrize(
    ("status", "code", "kind", "hint"),
    [
        (403, "AuthenticationFailed", Refused, "AZURE_STORAGE_CONNECTION_STRING"),
        (403, "AuthorizationPermissionMismatch", Refused, "Storage Blob Data Contributor"),
        (401, "InvalidAuthenticationInfo", Unavailable, "renew"),
    ],
)
def test_a_refusal_says_what_to_do_about_it(
    store: azure.AzureStore, proxy: StoreProxy, status: int, code: str, kind: type[DrorchError], hint: str
) -> None:
    for operation, attempt in (("GET list", lambda: paths(store)), ("HEAD", lambda: store.stat("a"))):
        proxy.order(operation, refusal(status, code))
        with pytest.raises(kind) as raised:
            attempt()  # type: ignore[no-untyped-call]
        assert hint in raised.value.hint


def test_a_clock_that_tells_nothing_is_unavailable(store: azure.AzureStore, proxy: StoreProxy) -> None:
    def silent(reply: Reply) -> None:
        reply.headers = {name: value for name, value in reply.headers.items() if name.lower() != "date"}

    proxy.order("GET list", silent)
    with pytest.raises(Unavailable, match="tell the time"):
        store.now()


# --- credentials ---------------------------------------------------------------------------------------------------


def opened(monkeypatch: pytest.MonkeyPatch, **environment: str) -> azure.AzureStore:
    for name, value in environment.items():
        monkeypatch.setenv(f"AZURE_STORAGE_{name.upper()}", value)
    options = azure.Options(account_name="acmedr", container="vault", region="westeurope")
    return azure.open_store("azure-eu", options, attempts=1)


def credential(store: azure.AzureStore) -> str:
    return type(store.blob("a").credential).__name__


def test_variables_serve_the_account_that_they_name_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    assert credential(opened(monkeypatch)) == "DefaultAzureCredential"
    assert credential(opened(monkeypatch, account="other", key="eA==")) == "DefaultAzureCredential"
    assert credential(opened(monkeypatch, account="acmedr")) == "SharedKeyCredentialPolicy"
    monkeypatch.delenv("AZURE_STORAGE_KEY")
    other = "AccountName=other;AccountKey=eA==;EndpointSuffix=core.windows.net"
    assert credential(opened(monkeypatch, connection_string=other)) == "DefaultAzureCredential"
    ours = other.replace("other", "acmedr")
    assert credential(opened(monkeypatch, connection_string=ours)) == "SharedKeyCredentialPolicy"


def test_a_variable_that_holds_no_connection_string_is_refused_without_a_word_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(Refused) as raised:
        opened(monkeypatch, connection_string="AccountKeyZ3VsbGlibGU=")
    assert "Z3Vsb" not in f"{raised.value!r} {raised.value.cause} {raised.value.__cause__} {raised.value.__context__}"
