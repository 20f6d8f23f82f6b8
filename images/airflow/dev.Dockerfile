# Airflow with dbt beside it, for work without Kubernetes: docker-compose.yml builds it (`task dev`). Not for production,
# where dbt and what a project's Jinja may do stay in the teams' own pods.
ARG PYTHON_IMAGE=python:3.13-slim-trixie
ARG AIRFLOW_IMAGE=wherry-airflow
ARG RUNNER_IMAGE=wherry-dbt-runner

FROM ${RUNNER_IMAGE} AS runner
USER 0
# A script names its environment's place, and that is taken in the other image.
RUN sed -i "1s|/opt/wherry/|/opt/dbt/|" /opt/wherry/bin/dbt

# What mode `virtualenv` installs: the runner's lock, by version and hash.
FROM ${PYTHON_IMAGE} AS requirements
ARG PIP_INDEX_URL=https://pypi.org/simple
COPY tools.txt /tmp/
RUN pip install --quiet --no-cache-dir --index-url "${PIP_INDEX_URL}" "$(grep ^uv== /tmp/tools.txt)"
WORKDIR /source
COPY images/dbt-runner/pyproject.toml images/dbt-runner/uv.lock ./
RUN uv export --quiet --frozen --no-dev --no-emit-project --output-file requirements.txt

FROM ${AIRFLOW_IMAGE}
COPY --from=runner /opt/wherry /opt/dbt
COPY --from=requirements /source/requirements.txt /opt/dbt/requirements.txt
ENV WHERRY_DBT_EXECUTABLE=/opt/dbt/bin/dbt \
    WHERRY_DBT_REQUIREMENTS=/opt/dbt/requirements.txt \
    WHERRY_RUNNER_PYTHON=/opt/dbt/bin/python
USER 0
RUN mkdir /opt/airflow/state && chown airflow:airflow /opt/airflow/state /opt/airflow/releases
USER 50000:50000
