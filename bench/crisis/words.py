"""What a person would have written: the host's configuration and the shop's policy, with its runbook."""

CONFIG = """\
version: 1
site: crisis
policies: policies/
state: state
vaults:
  s3-eu:  {{type: s3, bucket: shop-dr, account: prod, region: eu-west-1}}
  gcs-eu: {{type: gcs, bucket: shop-dr-offsite, region: europe-west4}}
aws: {{accounts: {{prod: {{id: "123456789012"}}}}}}
encryption: {{recipients: [{recipient}], identities: [{{file: key.txt}}]}}
signing: {{key: {{file: minisign.key}}, trusted: ["{trusted}"]}}
credentials: {{orders-db: {{file: orders-db.password, applications: [shop]}}}}
tools: {{postgres: [{programs}]}}
drills: {{scratch: {{postgres: private}}}}
"""

_POLICY = """\
version: 1
application: shop
owner: shop@example.com
home: {{account: prod, region: us-east-1}}
objectives:
  region:   {{rpo: 9h, rto: 30m}}
  provider: {{rpo: 2d, rto: 1h}}
resources:
  - name: orders                 # a dump, encrypted before it leaves the host
    kind: postgres
    connection:
      {{host: {host}, port: {port}, database: orders, user: shop, password: {{credential: orders-db}}}}
    schedule: {{every: 6h}}
    vaults: [s3-eu, gcs-eu]
    keep: {{last: 3, daily: 14}}
    drill:
      every: 7d
      from: [s3-eu, gcs-eu]
      probes: [{{sql: "select count(*) from orders", expect: ">= 10000"}}]
  - name: ledger
    kind: rds-instance
    identifier: shop-ledger
    schedule: {{every: 4h}}
    copies: [{{region: us-west-2, kms_key: alias/drorch}}]
    keep: {{last: 3, daily: 14}}
    drill: {{every: 30d, from: [prod.us-west-2]}}
    exempt: {{provider: "rebuilt from the bank's feed"}}
  - name: data
    kind: ebs
    select: {{tags: {{app: shop, tier: data}}}}
    schedule: {{every: 4h}}
    copies: [{{region: us-west-2, kms_key: alias/drorch}}]
    keep: {{last: 3, daily: 14}}
    drill: {{every: 30d, from: [prod.us-west-2]}}
    exempt: {{provider: "rendered again from their masters"}}
  - name: web
    kind: ami
    select: {{tags: {{app: shop, tier: web}}}}
    schedule: {{every: 1d}}
    objectives: {{region: {{rpo: 2d, rto: 30m}}}}
    copies: [{{region: us-west-2, kms_key: alias/drorch}}]
    keep: {{last: 3, daily: 14}}
    drill: {{every: 30d, from: [prod.us-west-2]}}
    exempt: {{provider: "built anew from git"}}
recovery:
  regions:
    us-west-2:
      ledger: {{subnet_group: default, security_groups: default}}
      data:   {{zone: us-west-2a}}
      web:    {{subnet: {subnet}, security_groups: [{group}]}}
  steps:
    - {{name: ledger, restore: ledger}}
    - {{name: volumes, restore: data, needs: []}}
    - {{name: image, restore: web, needs: []}}
    - {{name: orders, manual: "Restore the orders into the new database server", needs: [ledger]}}
    - name: site
      launch: {{image: image, group: shop-dr, target_group: shop-dr, capacity: 2}}
      needs: [image, volumes]
    - {{name: healthy, wait: {{http: "{health}", status: 200, for: 10m}}}}
{dns}"""

_DNS = """\
    - name: dns
      record: {{zone: {zone}, name: shop.example.com, type: CNAME, value: shop-dr.example.com}}
      needs: [healthy, ledger, orders]
      fallback: "page 12: change it at the registrar"
"""


def policy(*, quick: bool, **places: object) -> str:
    """The policy with its places. `quick`: one drill, that of the orders out of GCS, and no record of Route 53, whose
    fallback is asked for only after two silent minutes.
    """
    text = _POLICY.format(**places, dns="" if quick else _DNS.format(**places))
    if not quick:
        return text
    kept = [line for line in text.splitlines(keepends=True) if "drill: {" not in line]
    return "".join(kept).replace("from: [s3-eu, gcs-eu]", "from: [gcs-eu]")
