"""A new version of a launch template that is there, with the image of a copy: $Default stays what it is.

Versions bear no tags (EC2 user guide, "Tag your Amazon EC2 resources": of launch templates only the template does), so
one is known by its description, `TAG=ID` and nothing else; it is made with a client token (EC2 API).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from drorch.aws import mapped
from drorch.domain.errors import NotFound, Refused
from drorch.domain.model import native_vault_name
from drorch.domain.native_restore import FAILED, READY, Made, NativeRestore, RestorePart
from drorch.kinds import legible, named_in, pages
from drorch.kinds.ami.placing import MOST_SHOWN, options_of
from drorch.kinds.ec2_restoring import Entry, begun_otherwise, token

if TYPE_CHECKING:
    from drorch.aws import AwsAccounts

PERMISSIONS = (
    "ec2:DescribeLaunchTemplates",
    "ec2:DescribeLaunchTemplateVersions",
    "ec2:CreateLaunchTemplateVersion",
    "ec2:DeleteLaunchTemplateVersions",
)
PER_PAGE = 200
WHAT = "launch template version"
_DELETED = ("launchTemplateVersionDoesNotExist", "launchTemplateIdDoesNotExist")
"""Why a version was not deleted that is gone (EC2 API, ResponseError, Code)."""


class Templates:
    """The launch templates of one account and region."""

    def __init__(self, accounts: AwsAccounts, account: str, region: str) -> None:
        self._client: Any = accounts.client("ec2", account, region)
        self._vault = native_vault_name(account, region)

    def require(self, name: str) -> Entry:
        """The template of that name. NotFound, with the names that there are, for one that is not there."""
        operation = "ec2 DescribeLaunchTemplates"
        try:
            with mapped(operation, resource=name, vault=self._vault):
                reply = self._client.describe_launch_templates(LaunchTemplateNames=[name])
            with legible(operation, self._vault):
                found = [entry for entry in reply["LaunchTemplates"] if entry["LaunchTemplateName"] == name]
        except NotFound:
            found = []
        if found:
            return dict(found[0])
        names = sorted(str(entry.get("LaunchTemplateName")) for entry in self._all())
        more = f" and {len(names) - MOST_SHOWN} more" if len(names) > MOST_SHOWN else ""
        raise NotFound(
            f"there is no launch template {name}",
            operation=operation,
            resource=name,
            vault=self._vault,
            hint=f"launch_template: one of {', '.join(names[:MOST_SHOWN]) or 'which there is none: make one'}{more}",
        )

    def of_restore(self, template: str, tag: str, restore: str) -> list[Entry]:
        """The versions of a template, by its id, that were made for a restore, or for any ("") of the tag."""
        return [v for v in self._versions(template) if _restore_of(v, tag) and restore in ("", _restore_of(v, tag))]

    def made(self, tag: str, restore: str) -> Iterator[tuple[str, Made]]:
        """(id, version) of every template that has more than its first version: one listing for each."""
        for template in self._all():
            if int(template.get("LatestVersionNumber") or 0) > 1:
                for version in self.of_restore(str(template.get("LaunchTemplateId")), tag, restore):
                    yield _restore_of(version, tag), version_made(version)

    def create(self, order: NativeRestore, image: RestorePart, template: Entry) -> Entry:
        """CreateLaunchTemplateVersion after the default version; repeated by the SDK, for it bears a token."""
        operation, types = "ec2 CreateLaunchTemplateVersion", options_of(order).instance_types
        with legible("ec2 DescribeLaunchTemplates", self._vault):
            named, base = template["LaunchTemplateId"], str(template["DefaultVersionNumber"])
        with begun_otherwise(order), mapped(operation, resource=named, vault=self._vault, mutates=True):
            reply = self._client.create_launch_template_version(
                LaunchTemplateId=named,
                SourceVersion=base,
                VersionDescription=description(order.tag, order.id),
                LaunchTemplateData={"ImageId": image.native_id, **({"InstanceType": types[0]} if types else {})},
                ClientToken=token(order, image.native_id, named, base, *types),
            )
        version: Entry = named_in(reply, "LaunchTemplateVersion", operation, named, self._vault)
        named_in(version, "VersionNumber", operation, named, self._vault)
        return version

    def discard(self, tag: str, restore: str) -> list[Made]:
        """DeleteLaunchTemplateVersions of a restore's versions alone; what is left: one that is $Default now stays."""
        left: list[Made] = []
        for _, made in list(self.made(tag, restore)):
            template, _, number = made.native_id.rpartition(":")
            left += self._delete(made, template, number)
        return left

    def _delete(self, made: Made, template: str, number: str) -> list[Made]:
        operation = "ec2 DeleteLaunchTemplateVersions"
        try:
            with mapped(operation, resource=made.native_id, vault=self._vault, mutates=True):
                reply = self._client.delete_launch_template_versions(LaunchTemplateId=template, Versions=[number])
        except NotFound:
            return []
        except Refused as error:
            return [Made(WHAT, made.native_id, FAILED, error.cause or error.message)]
        refused = [
            entry.get("ResponseError", {}) for entry in reply.get("UnsuccessfullyDeletedLaunchTemplateVersions", ())
        ]
        said = [error for error in refused if error.get("Code") not in _DELETED]
        return [Made(WHAT, made.native_id, FAILED, str(error.get("Message") or error.get("Code"))) for error in said]

    def _all(self) -> list[Entry]:
        listing = pages(self._client, "describe_launch_templates", "LaunchTemplates", size=PER_PAGE, vault=self._vault)
        return [entry for page in listing for entry in page]

    def _versions(self, template: str) -> list[Entry]:
        items = "LaunchTemplateVersions"
        method = "describe_launch_template_versions"
        listing = pages(self._client, method, items, size=PER_PAGE, vault=self._vault, LaunchTemplateId=template)
        with legible("ec2 DescribeLaunchTemplateVersions", self._vault):
            return [entry for page in listing for entry in page if entry["LaunchTemplateId"] and entry["VersionNumber"]]


def description(tag: str, restore: str) -> str:
    """What marks a version as a restore's."""
    return f"{tag}={restore}"


def version_made(version: Entry, source_id: str = "") -> Made:
    """A version as EC2 shows it now; it is there at once."""
    name, number = version.get("LaunchTemplateName", ""), version["VersionNumber"]
    told = f"{name} version {number}" + (", $Default now" if version.get("DefaultVersion") else "")
    return Made(WHAT, f"{version['LaunchTemplateId']}:{number}", READY, told, source_id)


def _restore_of(version: Entry, tag: str) -> str:
    key, _, restore = str(version.get("VersionDescription") or "").partition("=")
    return restore if key == tag else ""
