# findalike's shop in a container; see docs/web.md.
FROM python:3.11-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 UV_NO_CACHE=1 UV_LINK_MODE=copy
RUN pip install uv==0.13.9 && uv venv /opt/findalike
ENV VIRTUAL_ENV=/opt/findalike
WORKDIR /source
# The libraries, in the versions that are tested, change seldom: a layer of their own. PyTorch for
# the processor alone takes 0.2 GB in place of 4.
COPY pyproject.toml requirements.lock ./
RUN sed -n 's/^\([a-z0-9._-]*==[^ ;]*\).*/\1/p' requirements.lock > constraints.txt \
    && uv pip install --torch-backend cpu --constraint constraints.txt --requirement pyproject.toml --extra postgres
COPY README.md LICENSE ./
COPY vision vision
COPY index index
COPY webapp webapp
COPY assets assets
RUN uv pip install --no-deps . && /opt/findalike/bin/python -m compileall -q /opt/findalike/lib

FROM python:3.11-slim-bookworm
RUN useradd --uid 10001 --create-home shop && install --directory --owner shop /catalogue
COPY --from=build /opt/findalike /opt/findalike
# The built-in encoder travels with the libraries; weights that others need are kept in the volume.
ENV PATH=/opt/findalike/bin:$PATH PYTHONUNBUFFERED=1 \
    FINDALIKE_CATALOGUE=/catalogue/shop HF_HOME=/catalogue/weights TORCH_HOME=/catalogue/weights
USER 10001
WORKDIR /catalogue
VOLUME /catalogue
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["findalike"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
