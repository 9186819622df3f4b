# docs/install.md says what of this was tried, and what not.
FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3-venv libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /dml-instance
COPY . .
RUN python3 -m venv .venv \
    && .venv/bin/pip install --no-cache-dir -c constraints.txt torch torchvision \
        ./third_party/d2wheel .[pretrained]
ENV PATH="/dml-instance/.venv/bin:$PATH"
