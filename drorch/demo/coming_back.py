"""The region's own act: what lay in it comes back where its copies lie, asked of nothing that is lost."""

from __future__ import annotations

from drorch.app.bringing_back import BringingBack
from drorch.app.loading import Reader
from drorch.app.native_restore import NativeRestores, RegionRequest, check_all, natives_of
from drorch.app.region_report import RegionReport
from drorch.demo import site
from drorch.demo.story import Story
from drorch.demo.world import VOLUMES, World
from drorch.domain.policy_drills import options_in
from drorch.domain.recovery import Step
from drorch.wiring import adapters
from drorch.wiring.host import Host


def come_back(world: World, host: Host, story: Story) -> None:
    """As ``drorch restore shop --into region:us-west-2`` does it; then once more, which makes nothing."""
    story.tell("$", "", f"drorch restore {site.APPLICATION} --into region:{site.SECOND}")
    before = world.volumes(site.SECOND)
    report = _once(host, story)
    for back in report.resources:
        told = ", ".join(f"{made.what} {made.native_id}" for made in back.made)
        story.check(f"{back.located.resource} is back in {site.SECOND}", back.outcome == "done", told)
    made = {name: size for name, size in world.volumes(site.SECOND).items() if name not in before}
    sizes = sorted(made.values())
    story.check("the volumes are as large as they were", sizes == sorted(VOLUMES.values()), f"{sizes} GiB")
    again = _once(host, None)
    same = [[m.native_id for m in back.made] for back in again.resources]
    once = [[m.native_id for m in back.made] for back in report.resources]
    story.check("the same command again makes nothing twice", same == once and bool(once))


def _once(host: Host, story: Story | None) -> RegionReport:
    policy = next(loaded.policy for loaded in host.policies().valid)
    natives = natives_of(policy, site.SECOND)
    restores = NativeRestores(
        kinds_of=lambda _accounts: host.kinds,
        stores={name: host.store(name) for name in host.vaults},
        reader=Reader(keys=host.trusted, identities=(), clock=host.clock),
        valid_id=host.valid_id,
    )
    found = restores.find(
        RegionRequest(policy.application, site.SECOND, site=host.config.site, natives=natives),
        lambda kind, name, _recorded: adapters.restore_options(kind, options_in(policy.recovery, site.SECOND, name)),
    )
    noted = check_all(found, restores.restoring)

    def heard(step: Step) -> None:
        if story is not None:
            took = "" if step.took_s is None else f" ({step.took_s} s)"
            story.tell(step.step, step.resource, f"{step.detail}{took}", "quiet")

    return BringingBack(restores.restoring, host.clock, heard).run(policy.application, site.SECOND, found, noted)
