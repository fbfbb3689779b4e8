# A mongod of this machine, with the account and the directories of the image mongo. For this machine only: its licence (SSPL)
# makes it no part of anything that is handed on.
FROM python:3.11-slim-bookworm
COPY --chmod=0755 mongod /usr/local/bin/mongod
RUN install -d -o 999 -g 999 /data/db /data/configdb
USER 999:999
EXPOSE 27017
CMD ["mongod"]
