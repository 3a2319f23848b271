"""Versions of launch templates: made after another and once per client token, deleted one by one, listed in pages.

Written from the API model and pages of CreateLaunchTemplateVersion, DeleteLaunchTemplateVersions and their listings.
moto knows no deletion of a version, and cuts its listings off.
"""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import InvalidLaunchTemplateVersionNotFound
from moto.ec2.models.launch_templates import LaunchTemplate, LaunchTemplateBackend
from moto.ec2.responses.launch_templates import LaunchTemplates

from drorch.demo.repairs.ec2 import in_pages
from drorch.demo.repairs.replacing import around, instead_of
from drorch.demo.repairs.tokens import once

_template: Any = LaunchTemplate
_responses: Any = LaunchTemplates


@around(LaunchTemplates, "create_launch_template_version")
def _create_version(original: Any, self: Any) -> Any:
    return once(self, lambda: _based(original, self))


def _based(original: Any, self: Any) -> Any:
    """The parameters of the source version, but for those that are given."""
    base = self._get_param("SourceVersion")
    result = original(self)
    if base:
        made = result.result["LaunchTemplateVersion"]
        template = self.ec2_backend.get_launch_template(made["LaunchTemplateId"])
        version = template.get_version(made["VersionNumber"])
        version.data = made["LaunchTemplateData"] = {**template.get_version(base).data, **version.data}
    return result


@around(LaunchTemplate, "get_version")
def _get_version(original: Any, self: Any, num: Any) -> Any:
    version = original(self, num)
    if getattr(version, "deleted", False):
        raise InvalidLaunchTemplateVersionNotFound(version=num, template_id=self.id)
    return version


def _latest(self: Any) -> Any:
    return next(version for version in reversed(self.versions) if not getattr(version, "deleted", False))


_template.latest_version = _latest


def _delete_versions(self: Any) -> ActionResult:
    """Each for itself; $Default stays (EC2 API, DeleteLaunchTemplateVersions)."""
    backend, name, named = self.ec2_backend, self._get_param("LaunchTemplateName"), self._get_param("LaunchTemplateId")
    template = backend.get_launch_template_by_name(name) if name else backend.get_launch_template(named)
    self.error_on_dryrun()
    done: list[dict[str, Any]] = []
    refused: list[dict[str, Any]] = []
    for number in self._get_param("Versions", []):
        of = {"LaunchTemplateId": template.id, "LaunchTemplateName": template.name, "VersionNumber": int(number)}
        there = {
            str(version.number): version for version in template.versions if not getattr(version, "deleted", False)
        }
        if number not in there:
            refused.append({**of, "ResponseError": {"Code": "launchTemplateVersionDoesNotExist", "Message": "gone"}})
        elif template.is_default(there[number]):
            message = "The version is the default version of the launch template"
            refused.append({**of, "ResponseError": {"Code": "unexpectedError", "Message": message}})
        else:
            there[number].deleted = True
            done.append(of)
    return ActionResult(
        {
            "SuccessfullyDeletedLaunchTemplateVersions": done,
            "UnsuccessfullyDeletedLaunchTemplateVersions": refused,
        }
    )


_responses.delete_launch_template_versions = _delete_versions


@around(LaunchTemplateBackend, "describe_launch_template_versions")
def _there(original: Any, self: Any, **wanted: Any) -> list[Any]:
    found = original(self, **{**wanted, "max_results": 10**6})
    return [(template, version) for template, version in found if not getattr(version, "deleted", False)]


@around(LaunchTemplates, "describe_launch_template_versions")
def _describe_versions(original: Any, self: Any) -> ActionResult:
    return in_pages(self, "LaunchTemplateVersions", original(self).result["LaunchTemplateVersions"], by_id=False)


@instead_of(LaunchTemplates, "describe_launch_templates")
def _describe_templates(self: Any) -> ActionResult:
    self.error_on_dryrun()
    names, ids = self._get_param("LaunchTemplateNames", []), self._get_param("LaunchTemplateIds", [])
    found = self.ec2_backend.describe_launch_templates(
        template_names=names, template_ids=ids, filters=self._filters_from_querystring()
    )
    shown = [
        {
            "CreateTime": template.create_time,
            "DefaultVersionNumber": template.default_version_number,
            "LatestVersionNumber": template.latest_version_number,
            "LaunchTemplateId": template.id,
            "LaunchTemplateName": template.name,
            "Tags": template.tags,
        }
        for template in found
    ]
    return in_pages(self, "LaunchTemplates", shown, by_id=bool(names or ids))
