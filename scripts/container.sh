#!/usr/bin/env bash
# Build, run, push and deploy the server's image. Every name is a variable:
#
#   scripts/container.sh build      the image; SYSTEM=FOLDER bakes in what pipeline.pack wrote
#   scripts/container.sh run        the server on this machine; without a baked pipeline, SYSTEM=FOLDER mounts one
#   scripts/container.sh push       to REGISTRY
#   scripts/container.sh deploy     as a model on Vertex AI, with the competition's routes and port
#
# BAKED=true says that the image holds its pipeline (the default where build was given SYSTEM is to bake it).
set -euo pipefail

VARIANT=${VARIANT:-gpu}                          # gpu or cpu
NAME=${NAME:-grounder}                           # the image's name
TAG=${TAG:-$VARIANT}                             # and its tag
PORT=${PORT:-5004}                               # port on this machine
SYSTEM=${SYSTEM:-}                               # folder that pipeline.pack wrote (its system/)
BAKED=${BAKED:-false}                            # true: run the pipeline inside the image
PYTHON_IMAGE=${PYTHON_IMAGE:-3.11-slim-bookworm} # tag of the base image
REGION=${REGION:-asia-southeast1}                # for push and deploy
PROJECT=${PROJECT:-}                             # for push and deploy: the cloud project
REPOSITORY=${REPOSITORY:-grounder}               # for push and deploy: the Artifact Registry repository
REGISTRY=${REGISTRY:-$REGION-docker.pkg.dev/$PROJECT/$REPOSITORY}
MODEL=${MODEL:-$NAME}                            # for deploy: the model's display name

stop() {
  echo "container: $1" >&2
  exit 2
}

build() {
  local words=(--target "$VARIANT" --build-arg "VARIANT=$VARIANT" --build-arg "PYTHON=$PYTHON_IMAGE")
  if [[ -n $SYSTEM ]]; then
    [[ -f $SYSTEM/config.yaml ]] || stop "SYSTEM=$SYSTEM: holds no config.yaml; pipeline.pack writes such a folder"
    words+=(--build-context "system=$SYSTEM")
  fi
  DOCKER_BUILDKIT=1 docker build "${words[@]}" --tag "$NAME:$TAG" .
}

run() {
  local words=(--rm --init --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges
    --stop-timeout 75 --publish "$PORT:5004")
  if [[ $BAKED != true ]]; then
    [[ -f $SYSTEM/config.yaml ]] || stop "SYSTEM=$SYSTEM: holds no config.yaml; BAKED=true runs the image's own pipeline"
    words+=(--volume "$(realpath "$SYSTEM"):/system:ro")
  fi
  [[ $VARIANT == cpu ]] || words+=(--gpus all)
  docker run "${words[@]}" "$NAME:$TAG" "$@"
}

push() {
  [[ -n $PROJECT || $REGISTRY != *//* ]] || stop "PROJECT: must be given, or REGISTRY"
  docker tag "$NAME:$TAG" "$REGISTRY/$NAME:$TAG"
  docker push "$REGISTRY/$NAME:$TAG"
}

deploy() {
  [[ -n $PROJECT ]] || stop "PROJECT: must be given"
  gcloud ai models upload --project "$PROJECT" --region "$REGION" --display-name "$MODEL" \
    --container-image-uri "$REGISTRY/$NAME:$TAG" --container-ports 5004 \
    --container-health-route /health --container-predict-route /identify
}

case ${1:-} in
  build | push | deploy) "$1" ;;
  run) run "${@:2}" ;;
  *) stop "${1:-no command}: not one of build, run, push, deploy" ;;
esac
