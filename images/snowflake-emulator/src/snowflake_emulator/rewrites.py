"""Statements that fakesnow or DuckDB reads otherwise than Snowflake, rewritten on the parsed tree."""

from sqlglot import exp

from snowflake_emulator.session import Session

_CONTEXT_FUNCTIONS = {
    "CURRENT_WAREHOUSE": "warehouse",
    "CURRENT_ROLE": "role",
    "CURRENT_USER": "user",
    "CURRENT_SESSION": "id",
}


def rewrite(tree: exp.Expr, session: Session) -> exp.Expr:
    """The statement as fakesnow should see it. Changes the tree in place; a bare context function is replaced."""
    if isinstance(tree, exp.Create):
        if name := make_temporary_ordinary(tree):
            session.temporary.append((str(tree.kind).upper(), name))
        drop_ctas_constraints(tree)
    if isinstance(tree, exp.Merge):
        qualify_merge_inserts(tree)
    return fill_context_functions(tree, session)


def make_temporary_ordinary(create: exp.Create) -> str | None:
    """Take TEMPORARY off a qualified name and return the name; None where there was nothing to do.

    DuckDB keeps temporary objects in a catalog of their own, `temp`, while dbt always writes database.schema.name:
    "TEMPORARY table names can *only* use the "temp" catalog". The caller drops the object when the session ends.
    """
    properties, table = create.args.get("properties"), create.find(exp.Table)
    if properties is None or table is None or not (table.args.get("db") or table.args.get("catalog")):
        return None
    kept = [p for p in properties.expressions if not isinstance(p, exp.TemporaryProperty)]
    if len(kept) == len(properties.expressions):
        return None
    create.set("properties", exp.Properties(expressions=kept) if kept else None)
    return table.sql(dialect="snowflake")


def drop_ctas_constraints(create: exp.Create) -> None:
    """Leave only columns in CREATE TABLE t (columns, PRIMARY KEY (...)) AS SELECT, which a dbt model contract writes.

    fakesnow counts a constraint as one column more: "Invalid column definition list". Snowflake enforces none either.
    """
    if isinstance(create.this, exp.Schema) and create.expression is not None:
        create.this.set("expressions", [c for c in create.this.expressions if isinstance(c, exp.ColumnDef)])


def qualify_merge_inserts(merge: exp.Merge) -> None:
    """Qualify bare columns in WHEN NOT MATCHED THEN INSERT (id) VALUES (id): they mean the source.

    fakesnow turns a MERGE into joins, where DuckDB finds the name on both sides: "Ambiguous reference to column name".
    """
    source = merge.args["using"].alias_or_name
    for when in merge.args["whens"].expressions:
        insert = when.args.get("then")
        if isinstance(insert, exp.Insert) and insert.expression is not None:
            for column in insert.expression.find_all(exp.Column):
                if not column.table:
                    column.set("table", exp.to_identifier(source))


def fill_context_functions(tree: exp.Expr, session: Session) -> exp.Expr:
    """Replace CURRENT_ROLE(), _SESSION(), _USER() and _WAREHOUSE(), unknown to DuckDB, by the session's values."""
    for call in list(tree.find_all(exp.Func)):
        name = call.name.upper() if isinstance(call, exp.Anonymous) else call.sql_name().upper()
        if field := _CONTEXT_FUNCTIONS.get(name):
            value = exp.Literal.string(str(getattr(session, field)))
            if call is tree:
                return value
            call.replace(value)
    return tree
