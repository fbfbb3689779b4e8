# Kafka's own jars on a Java 17, told by the same variables as the image apache/kafka.
FROM eclipse-temurin:17-jre
COPY libs /opt/kafka/libs
COPY --chmod=0755 start_kafka.sh /usr/local/bin/start_kafka.sh
RUN install -d -o 1000 -g 1000 /var/lib/kafka/data /opt/kafka/config /opt/kafka/logs
USER 1000:1000
EXPOSE 9092
CMD ["/usr/local/bin/start_kafka.sh"]
