#!/bin/bash
# KAFKA_NODE_ID=1 in the environment is node.id=1 in server.properties; a new data directory is formatted, a used one kept.
set -euo pipefail
properties=/opt/kafka/config/server.properties
while IFS='=' read -r -d '' name value; do
  case $name in
    KAFKA_HEAP_OPTS) ;;
    KAFKA_*) key=${name#KAFKA_}; key=${key,,}; printf '%s=%s\n' "${key//_/.}" "$value" ;;
  esac
done < <(env -0) > "$properties"
# The default of 128 MiB alone would not fit a small heap.
echo log.cleaner.dedupe.buffer.size=4194304 >> "$properties"
java=(java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "/opt/kafka/libs/*")
"${java[@]}" -Xmx128m kafka.tools.StorageTool format --ignore-formatted -t "${CLUSTER_ID:-VigilStandIn0000000000}" -c "$properties"
# shellcheck disable=SC2086 # the heap's options are several words
exec "${java[@]}" ${KAFKA_HEAP_OPTS:--Xms256m -Xmx512m} kafka.Kafka "$properties"
