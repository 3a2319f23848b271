"""What may be said of a database that is brought back: its name, its class, the groups of the region it comes to."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, model_validator

DEFAULT = "default"
"""Said of a group: the one that RDS takes by itself."""

ClassName = Annotated[str, Field(pattern=r"^db\.[a-z0-9-]+(\.[a-z0-9.-]+)?$", description="such as db.r6g.large")]
_SecurityGroup = Annotated[str, Field(pattern=r"^sg-[0-9a-f]+$", description="such as sg-0123456789abcdef0")]


class RestoredDatabase(BaseModel):
    """What instances and clusters have in common. What is not said is as recorded, where the region has it."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    name: str = Field(
        default="",
        pattern=r"^[a-z](-?[a-z0-9])*$",
        max_length=63,
        description="the new identifier, such as shop-ledger-2; the recorded one where it is free",
    )
    class_: ClassName | None = Field(default=None, alias="class", description="such as db.r6g.large; as recorded")
    classes: tuple[ClassName, ...] = Field(
        default=(), description="in order of preference, such as [db.r6g.large, db.r5.large]"
    )
    subnet_group: str = Field(
        default="", max_length=255, description="a DB subnet group of the region, or default: the default VPC's"
    )
    security_groups: Literal["default"] | Annotated[tuple[_SecurityGroup, ...], Field(min_length=1)] | None = Field(
        default=None, description="such as [sg-0123456789abcdef0], or default: the VPC's own"
    )
    parameter_group: str = Field(
        default="", max_length=255, description="a parameter group of the region, or default: the engine's own"
    )
    public: StrictBool = Field(default=False, description="true: an address that the internet can reach")
    deletion_protection: StrictBool | None = Field(default=None, description="true or false; as recorded")
    port: StrictInt | None = Field(default=None, ge=1150, le=65535, description="from 1150 to 65535; as recorded")
    storage_type: Literal["standard", "gp2", "gp3", "io1", "io2", "aurora", "aurora-iopt1"] | None = Field(
        default=None, description="such as gp3; as recorded"
    )
    iops: StrictInt | None = Field(default=None, ge=1, description="of gp3, io1 and io2; as recorded")
    ca_certificate: str = Field(
        default="", max_length=255, description="such as rds-ca-rsa2048-g1; as recorded, where the region has it"
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if self.class_ and self.classes:
            raise ValueError("class and classes say the same: class: NAME, or classes: [FIRST, SECOND]")
        return self

    @property
    def wanted_classes(self) -> tuple[str, ...]:
        """The classes that were said, in order; none where it is as recorded."""
        return self.classes or ((self.class_,) if self.class_ else ())


class RestoredInstance(RestoredDatabase):
    """Of ``rds-instance``."""

    option_group: str = Field(
        default="", max_length=255, description="an option group of the region, or default: the engine's own"
    )
    multi_az: StrictBool | None = Field(default=None, description="true: a standby in another zone; as recorded")


class RestoredCluster(RestoredDatabase):
    """Of ``rds-cluster``: `parameter_group` is the cluster's, class and certificate are those of its members."""

    members: StrictInt | None = Field(default=None, ge=1, le=16, description="how many, the writer among them")
    member_parameter_group: str = Field(
        default="", max_length=255, description="a DB parameter group of the region, or default: the engine's own"
    )
