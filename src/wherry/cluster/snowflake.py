"""How a team comes to a real Snowflake account: said with the team's own names. Pure."""

from wherry.errors import WherryError
from wherry.teams import Snowflake, Team

_GUIDE = """\
{team} on a real Snowflake account
{underline}
1. A key pair, whose private half never leaves your machine but for the Secret:

     openssl genrsa 2048 | openssl pkcs8 -topk8 -v2 aes-256-cbc -out {team}.p8
     openssl rsa -in {team}.p8 -pubout -out {team}.pub

2. In Snowflake, as an administrator (the names are those of k8s/teams/{team}.yaml):

     create role if not exists {role};
     create warehouse if not exists {compute} warehouse_size = xsmall auto_suspend = 60 initially_suspended = true;
     create database if not exists {database};
     grant usage on warehouse {compute} to role {role};
     grant ownership on database {database} to role {role} copy current grants;
     create user if not exists {user} type = service default_role = {role};
     grant role {role} to user {user};
     alter user {user} set rsa_public_key = '<{team}.pub without its first and last line>';

3. In k8s/teams/{team}.yaml, warehouse {warehouse}: take out host, port and protocol; set account to yours, and

     auth: key_pair

4. The Secret in the team's namespace, which `task up` then leaves alone:

     kubectl --namespace {namespace} delete secret {secret} --ignore-not-found
     kubectl --namespace {namespace} create secret generic {secret} \\
       --from-file=DBT_ENV_SECRET_PRIVATE_KEY={team}.p8 \\
       --from-literal=DBT_ENV_SECRET_PRIVATE_KEY_PASSPHRASE='...'

5. task team:apply NAME={team}
"""


def guide(team: Team) -> str:
    """The steps. Raises WherryError for a team without a warehouse on Snowflake."""
    found = {name: warehouse for name, warehouse in team.warehouses.items() if isinstance(warehouse, Snowflake)}
    if not found:
        raise WherryError(f"team {team.name}: found no warehouse of type snowflake, expected one in its team file")
    name, warehouse = next(iter(found.items()))
    title = f"{team.name} on a real Snowflake account"
    return _GUIDE.format(
        team=team.name,
        underline="=" * len(title),
        role=warehouse.role,
        compute=warehouse.warehouse,
        database=warehouse.database,
        user=warehouse.user,
        warehouse=name,
        namespace=team.namespace,
        secret=team.secret,
    )
