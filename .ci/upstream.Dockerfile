# The tests on upstream Caffe, for those who have Docker:
#   git archive HEAD | docker build -f .ci/upstream.Dockerfile -t netbuild-upstream - && docker run --rm netbuild-upstream
FROM debian:bullseye
COPY . /netbuild
RUN sh /netbuild/.ci/upstream-inside install
CMD ["sh", "/netbuild/.ci/upstream-inside", "test"]
