# netbuild with Caffe, for the CPU. The demo:
#   docker build --tag netbuild .
#   mkdir -p out && docker run --rm --user "$(id -u):$(id -g)" --volume "$PWD/out:/out" netbuild
# and then open out/demo/report.html. Any other command, on the files of this folder:
#   docker run --rm --user "$(id -u):$(id -g)" --volume "$PWD:/work" netbuild check net.prototxt
FROM python:3.9-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends graphviz \
    && rm -rf /var/lib/apt/lists/*
COPY . /netbuild
RUN pip install --no-cache-dir '/netbuild[all]'
# Whoever runs it has no home in here.
ENV HOME=/tmp MPLCONFIGDIR=/tmp/matplotlib
WORKDIR /work
ENTRYPOINT ["netbuild"]
CMD ["demo", "--force", "-o", "/out/demo"]
