# One image for the four services, the agent and the CLI; the command says which:
#   docker build -t nixfleet .
#   docker run --rm nixfleet apps/cli/src/main.ts --help
# Node runs the TypeScript sources as they are: nothing is compiled, the workspace is copied.
ARG NODE_IMAGE=node:24
FROM ${NODE_IMAGE}
ARG PNPM_VERSION=12.21.0
ENV NODE_ENV=production
RUN npm install --global --no-audit --no-fund "pnpm@${PNPM_VERSION}" && npm cache clean --force
WORKDIR /app

# Manifests first: the packages are fetched again only when one of them changes.
COPY package.json pnpm-workspace.yaml pnpm-lock.yaml ./
COPY apps/agent/package.json apps/agent/
COPY apps/cli/package.json apps/cli/
COPY libs/fleet/package.json libs/fleet/
COPY libs/infra/package.json libs/infra/
COPY libs/modules/package.json libs/modules/
COPY libs/nix/package.json libs/nix/
COPY libs/schema/package.json libs/schema/
COPY libs/scopes/package.json libs/scopes/
COPY libs/service/package.json libs/service/
COPY libs/trust/package.json libs/trust/
COPY services/cache-indexer/package.json services/cache-indexer/
COPY services/config-resolver/package.json services/config-resolver/
COPY services/deployer/package.json services/deployer/
COPY services/telemetry/package.json services/telemetry/
COPY test/package.json test/
# Left out: the optional packages, which are the embedded Postgres and Node that `npm start` brings along.
RUN pnpm install --prod --no-optional --frozen-lockfile
COPY . .

# /data is where a volume goes: the cache's NARs, or the root of an agent that plays a host.
RUN mkdir -m 1777 /data
USER 1000:1000
ENTRYPOINT ["node"]
CMD ["apps/cli/src/main.ts", "--help"]
